#include "target/maxtext/target.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/text.h"
#include "target/maxtext/outputs.h"

namespace ckpt {
namespace {

using maxtext::QuantizedOutput;
using maxtext::QuantLayout;

// The contract's paths; the last part of a float output's root is its step.
std::string DefaultRoot(std::string_view output) {
  if (output == "scanned") return "bf16/scanned/0";
  if (output == "unscanned") return "bf16/unscanned/checkpoints/0";
  return std::string(output);
}

const std::vector<std::string>& Names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> all = {"scanned", "unscanned"};
    for (std::string& name : maxtext::QuantizedNames()) all.push_back(std::move(name));
    return all;
  }();
  return names;
}

bool IsScannedStep(std::string_view output) { return output == "scanned" || output == "unscanned"; }

// What the server needs to know of the layouts that were written.
std::string ServerFlags(const Model& model) {
  std::string flags;
  for (const std::string& flag : model.server_flags) flags += " " + flag;
  return flags;
}

std::string Named(const Model& model) {
  return model.served_name.empty() ? "" : fmt::format("model_name={} ", model.served_name);
}

std::vector<std::string> LoadFloat(const Model& model, const ChunkedOutput& output,
                                   const ChunkedSettings& settings) {
  return {fmt::format(
      "{}load_parameters_path={}/{} scan_layers={} weight_dtype={}{} (any MaxText server)",
      Named(model), output.root, output.items, output.name == "scanned",
      settings.is_f32 ? "float32" : "bfloat16", ServerFlags(model))};
}

std::vector<std::string> LoadQuantized(const Model& model, const ChunkedOutput& output,
                                       const QuantizedOutput& type, QuantLayout layout) {
  std::string flags = fmt::format(
      "{}load_parameters_path={} quantization={} checkpoint_is_quantized=true scan_layers=false "
      "weight_dtype=bfloat16{}",
      Named(model), output.root, type.server_quantization, ServerFlags(model));
  if (!type.config_file.empty()) flags += fmt::format(" quant_cfg_path={}", type.config_file);
  std::vector<std::string> lines;
  if (layout == QuantLayout::kLinen) {
    lines.push_back(flags + " (JetStream with MaxText of 2025)");
    lines.push_back(flags +
                    " pure_nnx=false pure_nnx_decoder=false enable_nnx=false (MaxText of 2026)");
  } else {
    lines.push_back(flags + " (MaxText of 2026)");
  }
  lines.push_back(fmt::format("{}; embedding, output head and norms stay bf16", type.meaning));
  return lines;
}

// Axes that a mesh was to cut and does not, said once each.
void WarnOfMesh(const ChunkedOutput& output, const Mesh& mesh, std::vector<std::string>& warnings) {
  const auto warn = [&](std::string text) {
    if (std::find(warnings.begin(), warnings.end(), text) == warnings.end())
      warnings.push_back(std::move(text));
  };
  for (const ChunkedSlice& slice : output.slices) {
    const ChunkedArray& array = output.arrays[slice.array];
    for (size_t a = 0; a < array.shape.rank(); ++a) {
      const Axis& axis = slice.tensor_axes[a];
      const auto cut = mesh.find(axis.name);
      if (cut == mesh.end() || cut->second <= 1) continue;
      if (axis.extent % cut->second != 0) {
        warn(fmt::format("--mesh: {} devices do not divide axis {} of {}; it is not cut for them",
                         cut->second, axis.name, axis.extent));
      } else if (array.chunk[a] > axis.extent / cut->second &&
                 array.shape.Elements().value_or(0) * 2 >= (1U << 20U)) {
        warn(
            fmt::format("--mesh: chunks would fall below 1 MiB; axis {} of {} is cut less than {} "
                        "times",
                        axis.name, axis.extent, cut->second));
      }
    }
  }
}

Result<QuantLayout> ParseLayout(const ChunkedSettings& settings) {
  if (settings.quant_layout.empty() || settings.quant_layout == "linen") return QuantLayout::kLinen;
  if (settings.quant_layout == "nnx") return QuantLayout::kNnx;
  return Fail(Code::kUsage,
              fmt::format("--quant-layout {} is unknown", Printable(settings.quant_layout)),
              "give linen (JetStream) or nnx (today's MaxText)");
}

}  // namespace

std::span<const std::string> MaxTextTarget::OutputNames() const { return Names(); }

Result<ChunkedOutput> MaxTextTarget::Make(const Model& model, const ChunkedSettings& settings,
                                          const std::string& name) {
  CKPT_TRY(const QuantLayout layout, ParseLayout(settings));
  const std::optional<QuantizedOutput> type = maxtext::FindQuantized(name);
  ChunkedOutput output;
  if (type) {
    if (layout == QuantLayout::kNnx && type->server_quantization == "intmp")
      return Fail(Code::kUsage,
                  fmt::format("{} is served as quantization=intmp, which runs only with the linen "
                              "layout",
                              name),
                  "leave --quant-layout nnx out, or ask for int8");
    CKPT_TRY(output, maxtext::QuantizedTree(model, *type, layout, settings.mesh));
  } else {
    CKPT_TRY(output,
             maxtext::FloatOutput(model, name == "scanned",
                                  settings.is_f32 ? DType::kF32 : DType::kBF16, settings.mesh));
  }
  output.name = name;
  output.items = IsScannedStep(name) ? "items" : "";
  const auto root = settings.roots.find(name);
  const std::string below = settings.default_root.empty() ? "" : settings.default_root + "/";
  output.root = root == settings.roots.end() ? below + DefaultRoot(name) : root->second;
  output.is_object_per_chunk = settings.layout == "pathways";
  if (!settings.compression.empty()) {
    output.codec = ChunkCodec::kZstd;
  } else {
    output.codec = output.is_object_per_chunk ? ChunkCodec::kPlain : ChunkCodec::kCrc32c;
  }
  if (type && !type->config_file.empty())
    output.companions.push_back(
        {below + std::string(type->config_file), std::string(type->config_text), std::nullopt});
  output.how_to_load =
      type ? LoadQuantized(model, output, *type, layout) : LoadFloat(model, output, settings);
  CKPT_TRY_VOID(CheckNames(output));
  return output;
}

Result<std::vector<ChunkedOutput>> MaxTextTarget::Describe(
    const Model& model, const ChunkedSettings& settings, std::vector<std::string>& warnings) const {
  std::vector<ChunkedOutput> outputs;
  for (const std::string& name : settings.outputs) {
    CKPT_TRY(ChunkedOutput output, Make(model, settings, name));
    WarnOfMesh(output, settings.mesh, warnings);
    for (const ChunkedOutput& other : outputs) {
      const std::string mine = output.root + "/";
      const std::string theirs = other.root + "/";
      if (mine.starts_with(theirs) || theirs.starts_with(mine))
        return Fail(Code::kUsage,
                    fmt::format("outputs {} and {} would lie in each other: {} and {}", other.name,
                                output.name, other.root, output.root),
                    "give each its own path");
    }
    outputs.push_back(std::move(output));
  }
  return outputs;
}

}  // namespace ckpt
