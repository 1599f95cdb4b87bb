#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/buffer.h"
#include "base/json_text.h"
#include "base/message_digest.h"
#include "base/text.h"
#include "base/units.h"
#include "cli/arguments.h"
#include "cli/machine.h"
#include "cli/plan_view.h"
#include "cli/registry.h"
#include "cli/verbs.h"
#include "kernel/convert.h"
#include "model/family.h"
#include "model/model.h"
#include "model/shards.h"
#include "plan/memory.h"
#include "source/digest.h"

namespace ckpt {
namespace {

struct Digests {
  std::string sha256;
  std::string dequantized_f32_sha256;  // GGUF tensors that can be dequantized
};

// Both digests of a tensor from one reading.
class Digester {
 public:
  Digester(Store& store, const Catalog& catalog, MemoryBudget& budget)
      : catalog_(catalog), budget_(budget), stream_(store, catalog, budget) {}

  Result<Digests> Of(const TensorEntry& tensor) {
    const ConvertFn to_f32 =
        catalog_.format == "gguf" ? FindConvert(tensor.dtype, DType::kF32) : nullptr;
    const DTypeInfo& info = Info(tensor.dtype);
    Sha256 raw;
    Sha256 values;
    Buffer converted;
    if (to_f32 != nullptr) {
      CKPT_TRY(Grant grant, budget_.Acquire(kStepElements * sizeof(float)));
      CKPT_TRY(converted, Buffer::Allocate(std::move(grant)));
    }
    CKPT_TRY_VOID(
        stream_.ForEachChunk(tensor, [&](std::span<const std::byte> bytes) -> Result<void> {
          raw.Update(bytes);
          const uint64_t step_bytes = kStepElements / info.block_elements * info.block_bytes;
          while (to_f32 != nullptr && !bytes.empty()) {
            const auto step = bytes.first(std::min<uint64_t>(bytes.size(), step_bytes));
            const uint64_t elements = step.size() / info.block_bytes * info.block_elements;
            to_f32(step.data(), converted.data(), elements);
            values.Update(converted.span(0, elements * sizeof(float)));
            bytes = bytes.subspan(step.size());
          }
          return {};
        }));
    return Digests{raw.Finish(), to_f32 != nullptr ? values.Finish() : ""};
  }

 private:
  static constexpr uint64_t kStepElements = 1ULL << 18U;
  const Catalog& catalog_;
  MemoryBudget& budget_;
  TensorStream stream_;
};

class InspectVerb final : public Verb {
 public:
  explicit InspectVerb(CLI::App& root)
      : Verb(root, "inspect", "Show what a checkpoint holds: format, family, dimensions, tensors") {
    options.Required("SOURCE", arguments_.source, "folder or file");
    options.Flag("--digests", has_digests_,
                 "also each tensor's SHA-256 (reads everything, in little memory)");
    options.Flag("--json", arguments_.is_json, "print one JSON object");
    AddResourceOptions(options, arguments_);
  }

  Result<void> Run() override {
    CKPT_TRY(const Settings settings, ParseSettings(arguments_));
    const Resources& resources = settings.plan.resources;
    MemoryBudget budget(resources.memory_bytes > 0 ? resources.memory_bytes
                                                   : resources.least_memory_bytes);
    CKPT_TRY(const SourcePlace place, FindSource(arguments_.source, settings.access, &budget));
    CKPT_TRY(Catalog catalog, OpenSource(place, budget));
    CKPT_TRY(const auto families, LoadFamilies(settings.family_files));
    CKPT_TRY_VOID(JoinShards(families, settings.family_name, catalog));
    const Result<Model> model = BindModel(families, catalog, {settings.family_name});
    std::vector<std::string> warnings = catalog.warnings;
    if (model) warnings.insert(warnings.end(), model->warnings.begin(), model->warnings.end());
    PrintWarnings(warnings);

    Digester digester(*place.store, catalog, budget);
    std::vector<Digests> digests;
    for (const TensorEntry& tensor : catalog.tensors) {
      if (!has_digests_) break;
      CKPT_TRY(Digests digest, digester.Of(tensor));
      digests.push_back(std::move(digest));
    }
    const Model* bound = model ? &*model : nullptr;
    if (arguments_.is_json) {
      PrintAsJson(catalog, bound, digests);
    } else {
      PrintTable(catalog, bound, model ? "" : model.error().what, digests);
      if (const auto network = settings.access.remote->figures())
        fmt::print("{}", NetworkText(*network));
    }
    return {};
  }

 private:
  static void PrintAsJson(const Catalog& catalog, const Model* model,
                          const std::vector<Digests>& digests) {
    nlohmann::ordered_json json;
    json["format"] = catalog.format;
    json["family"] =
        model != nullptr ? nlohmann::ordered_json(model->family->name()) : nlohmann::ordered_json();
    json["dims"] = nlohmann::ordered_json::object();
    if (model != nullptr) json["dims"] = model->dims;
    nlohmann::ordered_json tensors = nlohmann::ordered_json::object();
    for (size_t i = 0; i < catalog.tensors.size(); ++i) {
      const TensorEntry& tensor = catalog.tensors[i];
      nlohmann::ordered_json entry = {{"dtype", Name(tensor.dtype)},
                                      {"shape", tensor.shape.extents},
                                      {"nbytes", tensor.size_bytes}};
      if (tensor.chunked != nullptr) {
        entry["chunk_shape"] = tensor.chunked->chunk.extents;
        entry["stored_nbytes"] = StoredBytes(tensor);
      }
      if (!digests.empty()) {
        entry["sha256"] = digests[i].sha256;
        if (!digests[i].dequantized_f32_sha256.empty())
          entry["dequantized_f32_sha256"] = digests[i].dequantized_f32_sha256;
      }
      tensors[tensor.name] = std::move(entry);
    }
    json["tensors"] = std::move(tensors);
    if (!catalog.empty_leaves.empty()) json["empty_leaves"] = catalog.empty_leaves;
    fmt::print("{}\n", PrintJson(json));
  }

  // "  in 12 chunks of [4096, 1, 512], stored 3.1 MB"
  static std::string ChunkWords(const TensorEntry& tensor) {
    if (tensor.chunked == nullptr) return "";
    return fmt::format("  in {} chunks of {}, stored {}", tensor.chunked->chunks.size(),
                       ToString(tensor.chunked->chunk), FormatBytes(StoredBytes(tensor)));
  }

  static void PrintTable(const Catalog& catalog, const Model* model, const std::string& reason,
                         const std::vector<Digests>& digests) {
    fmt::print("format  {}\n", catalog.format);
    if (model != nullptr) {
      std::string dims;
      for (const auto& [name, extent] : model->dims) dims += fmt::format("  {}={}", name, extent);
      fmt::print("family  {} (scheme {}){}\n", model->family->name(), model->source_scheme, dims);
    } else {
      fmt::print("family  none that fits: {}\n", reason);
    }
    size_t width = 6;
    uint64_t bytes = 0;
    for (const TensorEntry& tensor : catalog.tensors) {
      width = std::max(width, Printable(tensor.name).size());
      bytes += tensor.size_bytes;
    }
    for (const auto& [name, type] : catalog.empty_leaves)
      width = std::max(width, Printable(name).size());
    for (size_t i = 0; i < catalog.tensors.size(); ++i) {
      const TensorEntry& tensor = catalog.tensors[i];
      fmt::print("{:<{}}  {:<6}  {:<16}  {}{}{}\n", Printable(tensor.name), width,
                 Name(tensor.dtype), ToString(tensor.shape), FormatBytes(tensor.size_bytes),
                 ChunkWords(tensor), digests.empty() ? "" : "  " + digests[i].sha256);
    }
    for (const auto& [name, type] : catalog.empty_leaves)
      fmt::print("{:<{}}  {:<6}  without data\n", Printable(name), width, Printable(type));
    fmt::print("{} tensors, {} in {} files\n", catalog.tensors.size(), FormatBytes(bytes),
               catalog.objects.size());
  }

  Arguments arguments_;
  bool has_digests_ = false;
};

}  // namespace

std::unique_ptr<Verb> AddInspect(CLI::App& root) { return std::make_unique<InspectVerb>(root); }

}  // namespace ckpt
