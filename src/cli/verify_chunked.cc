#include "cli/verify_chunked.h"

#include <fmt/format.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "base/json_text.h"
#include "base/text.h"
#include "cli/differences.h"
#include "cli/paths.h"
#include "cli/registry.h"
#include "cli/version.h"
#include "cli/watched.h"
#include "run/chunk_places.h"
#include "run/chunked_convert.h"
#include "run/compare.h"
#include "run/compare_store.h"
#include "source/box_reader.h"
#include "source/reader_pool.h"

namespace ckpt {
namespace {

using nlohmann::json;

constexpr uint64_t kReadBytes = 1ULL << 20U;

tl::unexpected<Error> Damaged(const std::string& dest) {
  return Fail(Error{Code::kBadInput,
                    "the report is damaged or of another version",
                    {},
                    {{"file", dest + "/" + ReportName()}},
                    "convert again with --overwrite"});
}

// Everything is looked up by type; a missing or wrong one throws, and ends in a message.
template <class T>
Result<T> Guarded(const std::string& dest, const std::function<Result<T>()>& work) {
  try {
    return work();
  } catch (const json::exception&) {
    return Damaged(dest);
  }
}

Result<void> HoldOutput(const std::string& path, const json& output, const Settings& settings,
                        MemoryBudget& budget, Verified& verified,
                        std::vector<std::string>& faults) {
  CKPT_TRY(const SourcePlace place, FindSource(path, settings.access));
  CKPT_TRY(const Catalog catalog, OpenSource(place, budget));
  ReaderPool pool(*place.store, catalog);
  BoxReader reader(pool.Opener(), budget);
  const auto name = output.at("name").get<std::string>();
  const json& arrays = output.at("arrays");
  std::map<std::string, bool> seen;
  for (const TensorEntry& tensor : catalog.tensors) {
    const std::string label = fmt::format("{}: \"{}\"", name, Printable(tensor.name));
    const auto expected = arrays.find(tensor.name);
    if (expected == arrays.end()) {
      faults.push_back(label + " is not in the report");
      continue;
    }
    seen[tensor.name] = true;
    if (expected->at("dtype") != Name(tensor.dtype) ||
        expected->at("shape") != tensor.shape.extents ||
        (tensor.chunked != nullptr && expected->at("chunk") != tensor.chunked->chunk.extents)) {
      faults.push_back(fmt::format("{} is {} {}, not as reported", label, Name(tensor.dtype),
                                   ToString(tensor.shape)));
      continue;
    }
    CKPT_TRY(const Crc32c crc, reader.StoredCrc(tensor));
    verified.bytes += crc.size_bytes();
    ++verified.arrays;
    const std::string hex = fmt::format("{:08x}", crc.value());
    if (expected->at("crc32c") != hex)
      faults.push_back(fmt::format("{} has CRC-32C {}, {} reported", label, hex,
                                   expected->at("crc32c").get<std::string>()));
  }
  for (const auto& [array, entry] : arrays.items()) {
    if (!seen[array])
      faults.push_back(fmt::format("{}: \"{}\" is missing", name, Printable(array)));
  }
  return {};
}

// CRC-32C of a whole object; nothing where it is missing.
Result<std::optional<Crc32c>> CrcOf(Store& store, const std::string& name) {
  CKPT_TRY_VOID(SafeName(name));
  Result<ObjectInfo> info = store.Stat(name);
  if (!info && info.error().code == Code::kNotFound) return std::optional<Crc32c>();
  if (!info) return Fail(std::move(info).error());
  CKPT_TRY(const std::unique_ptr<ObjectReader> reader, store.Open(*info));
  Crc32c crc;
  std::vector<std::byte> buffer(kReadBytes);
  for (uint64_t at = 0; at < info->size_bytes; at += kReadBytes) {
    const uint64_t count = std::min(kReadBytes, info->size_bytes - at);
    CKPT_TRY_VOID(reader->Read({at, at + count}, std::span(buffer).first(count)));
    crc.Append(std::span<const std::byte>(buffer).first(count));
  }
  return std::optional(crc);
}

// What the commit wrote: trees, metadata, manifest, markers.
Result<void> HoldFiles(Store& store, const std::string& root, const json& output,
                       std::vector<std::string>& faults) {
  for (const json& file : output.at("files")) {
    const auto name = root + "/" + file.at("name").get<std::string>();
    CKPT_TRY(const std::optional<Crc32c> crc, CrcOf(store, name));
    if (!crc) {
      faults.push_back(fmt::format("file {} is missing", Printable(name)));
    } else if (file.at("crc32c") != fmt::format("{:08x}", crc->value()) ||
               file.at("size_bytes") != crc->size_bytes()) {
      faults.push_back(fmt::format("file {} is not what was written", Printable(name)));
    }
  }
  return {};
}

Settings SettingsOf(const json& report, Settings settings) {
  const json& given = report.at("settings");
  ChunkedSettings& chunked = settings.chunked_settings;
  chunked.outputs = given.at("outputs").get<std::vector<std::string>>();
  chunked.roots = given.at("roots").get<std::map<std::string, std::string>>();
  chunked.default_root = given.at("default_root").get<std::string>();
  chunked.is_f32 = given.at("dtype") == "float32";
  chunked.compression = given.at("compression").get<std::string>();
  chunked.layout = given.at("orbax_layout").get<std::string>();
  chunked.quant_layout = given.at("quant_layout").get<std::string>();
  chunked.rope_layout = given.at("rope_layout").get<std::string>();
  chunked.model_name = given.at("model").get<std::string>();
  chunked.mesh = given.at("mesh").get<Mesh>();
  settings.plan.bundle_bytes = given.at("bundle_bytes").get<uint64_t>();
  return settings;
}

// The runs that left a report in the folder: "" for the folder's own, else their names.
std::vector<std::string> RunsIn(const std::filesystem::path& folder) {
  namespace fs = std::filesystem;
  std::error_code error;
  if (fs::exists(folder / ReportName(), error)) return {""};
  std::vector<std::string> runs;
  for (const auto& entry : fs::directory_iterator(folder / std::string(kStateFolder), error)) {
    const std::string name = entry.path().filename().string();
    if (fs::exists(folder / ReportName(name), error)) runs.push_back(name);
  }
  std::sort(runs.begin(), runs.end());
  return runs;
}

// Whether the report tells of an output that `part` is, lies in or holds.
bool TellsOf(const std::filesystem::path& report_file, const std::string& part) {
  std::ifstream file(report_file);
  const json report = ParseJson(std::string(std::istreambuf_iterator<char>(file), {}));
  if (!report.is_object() || !IsChunkedReport(report) || !report["outputs"].is_array())
    return false;
  return std::any_of(report["outputs"].begin(), report["outputs"].end(), [&](const json& output) {
    const json path = output.is_object() ? output.value("path", json()) : json();
    return path.is_string() && AreRelated(part, path.get<std::string>());
  });
}

}  // namespace

bool IsChunkedReport(const json& report) { return report.contains("outputs"); }

ReportPlace FindReport(const std::string& dest) {
  const Result<Uri> uri = Uri::Parse(dest);
  if (!uri || uri->scheme() != "file") return {dest};
  namespace fs = std::filesystem;
  std::error_code error;
  const fs::path whole = fs::absolute(uri->path(), error).lexically_normal();
  fs::path folder = whole.has_filename() ? whole : whole.parent_path();
  const fs::path asked = folder;
  for (int level = 0; level < kMostParents && folder.has_relative_path();
       ++level, folder = folder.parent_path()) {
    const std::vector<std::string> runs = RunsIn(folder);
    if (runs.empty()) continue;
    if (folder == asked) return {dest, "", runs.size() == 1 ? runs.front() : ""};
    const std::string part = asked.lexically_relative(folder).generic_string();
    for (const std::string& run : runs) {
      if (TellsOf(folder / ReportName(run), part)) return {folder.string(), part, run};
    }
    break;
  }
  return {dest};
}

Result<Verified> HoldChunkedToReport(const ReportPlace& place, const json& report,
                                     const Settings& settings) {
  const std::string& dest = place.root;
  return Guarded<Verified>(dest, [&]() -> Result<Verified> {
    const Resources& resources = settings.plan.resources;
    MemoryBudget budget(resources.memory_bytes > 0 ? resources.memory_bytes
                                                   : resources.least_memory_bytes);
    Verified verified;
    std::vector<std::string> faults;
    CKPT_TRY(const std::shared_ptr<Store> store, OpenDestination(dest, settings.access));
    for (const json& output : report.at("outputs")) {
      const auto root = output.at("path").get<std::string>();
      CKPT_TRY_VOID(SafeName(root));
      if (!place.part.empty() && !AreRelated(place.part, root)) continue;
      CKPT_TRY_VOID(HoldFiles(*store, root, output, faults));
      const std::string path = Below(Below(dest, root), output.at("items").get<std::string>());
      CKPT_TRY_VOID(HoldOutput(path, output, settings, budget, verified, faults));
    }
    if (!faults.empty()) return FailDifferences(dest, std::move(faults));
    return verified;
  });
}

Result<Verified> HoldChunkedToSource(const std::string& dest, const json& report,
                                     const Arguments& arguments, Settings settings) {
  return Guarded<Verified>(dest, [&]() -> Result<Verified> {
    const auto target = report.at("target").get<std::string>();
    settings.chunked = FindChunkedTarget(target);
    if (settings.chunked == nullptr)
      return Fail(Code::kBadInput,
                  fmt::format("the report names an unknown target \"{}\"", Printable(target)),
                  "verify with the version that wrote it");
    settings = SettingsOf(report, std::move(settings));
    CKPT_TRY(const PlannedChunkedRun run, PlanChunkedRun(arguments.source, settings, true));
    const ChunkedPlan& plan = run.plan;
    CKPT_TRY(const std::shared_ptr<Store> inner, OpenDestination(dest, settings.access));
    // Data files by name, to say what lies at a byte of them.
    std::map<std::string, std::pair<size_t, uint32_t>> files;
    for (size_t o = 0; o < plan.outputs.size(); ++o) {
      for (uint32_t bundle = 0; bundle <= plan.bundles.size(); ++bundle)
        files[Below(plan.outputs[o].root, settings.chunked->DataFileName(plan, o, bundle))] = {
            o, bundle};
    }
    // Each lane compares beside its own plan.
    MemoryBudget budget(plan.memory.budget_bytes +
                        (plan.memory.lanes + 1ULL) * plan.outputs.size() * 2 * kCompareStepBytes);
    CompareStore store(*inner, budget, [&](const std::string& name, uint64_t offset) {
      const auto file = files.find(name);
      if (file == files.end()) return name;
      return fmt::format("{}, {}", name,
                         DescribeByte(plan, file->second.first, file->second.second, offset));
    });
    const Result<ChunkedResult> result =
        RunWatched<ChunkedResult>(plan.totals, plan.memory.budget_bytes, arguments.is_quiet,
                                  "nothing was changed; run again", [&](Watch& watch) {
                                    return ConvertChunked(plan, *settings.chunked, *run.place.store,
                                                          store, budget, {}, watch);
                                  });
    if (!result) return Fail(result.error());
    Verified verified;
    for (const ChunkedOutput& output : plan.outputs) verified.arrays += output.arrays.size();
    verified.bytes = result->written_bytes;
    return verified;
  });
}

}  // namespace ckpt
