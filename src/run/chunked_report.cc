
#include <nlohmann/json.hpp>

#include "base/json_text.h"
#include "run/chunked_convert.h"
#include "run/report.h"
#include "run/report_parts.h"

namespace ckpt {
namespace {

using Json = nlohmann::ordered_json;

std::string_view Name(ChunkCodec codec) {
  switch (codec) {
    case ChunkCodec::kPlain:
      return "plain";
    case ChunkCodec::kCrc32c:
      return "crc32c";
    case ChunkCodec::kZstd:
      break;
  }
  return "zstd";
}

Json Arrays(const ChunkedPlan& plan, size_t output, const std::vector<Crc32c>& crcs) {
  const ChunkedOutput& spec = plan.outputs[output];
  std::vector<Json> sources(spec.arrays.size(), Json::array());
  for (const ChunkedSlice& slice : spec.slices) {
    const BoundRole& bound = plan.model.roles[slice.role];
    const std::vector<size_t> tensors =
        bound.parts.empty() ? std::vector<size_t>{bound.tensor} : bound.parts;
    for (const size_t tensor : tensors)
      sources[slice.array].push_back(plan.catalog.tensors[tensor].name);
  }
  Json arrays = Json::object();
  for (size_t a = 0; a < spec.arrays.size(); ++a) {
    const ChunkedArray& array = spec.arrays[a];
    const size_t maker = array.making == ChunkMaking::kScales ? array.scales_of : a;
    arrays[array.name] = {{"dtype", Name(array.dtype)},
                          {"shape", array.shape.extents},
                          {"chunk", array.chunk},
                          {"crc32c", Hex(crcs[a])},
                          {"sources", sources[maker]}};
  }
  return arrays;
}

}  // namespace

double BitsPerWeight(const ChunkedOutput& output) {
  double bits = 0;
  double weights = 0;
  for (const ChunkedArray& array : output.arrays) {
    if (array.making == ChunkMaking::kConstant) continue;
    const auto elements = static_cast<double>(array.shape.Elements().value_or(0));
    bits += elements * 8 * ElementBytes(array.dtype);
    if (array.making != ChunkMaking::kScales) weights += elements;
  }
  return weights > 0 ? bits / weights : 0;
}

std::string MakeChunkedReport(const ChunkedPlan& plan, const ChunkedResult& result,
                              std::string_view version) {
  const RunFigures& figures = result.figures;
  const ChunkedSettings& settings = plan.settings;
  Json report;
  report["schema_version"] = kReportSchemaVersion;
  report["program"] = "ckpt";
  report["version"] = version;
  report["target"] = plan.target;
  report["settings"] = {{"outputs", settings.outputs},
                        {"roots", settings.roots},
                        {"default_root", settings.default_root},
                        {"dtype", settings.is_f32 ? "float32" : "bfloat16"},
                        {"compression", settings.compression},
                        {"orbax_layout", settings.layout},
                        {"quant_layout", settings.quant_layout},
                        {"rope_layout", settings.rope_layout},
                        {"model", settings.model_name},
                        {"mesh", settings.mesh},
                        {"bundle_bytes", plan.bundle_bytes},
                        {"threads", figures.threads},
                        {"io", figures.io_mode}};
  report["model"] = {{"name", plan.model.served_name}, {"notes", plan.model.notes}};
  report["layout_digest"] = plan.layout_digest;
  report["run_digest"] = plan.run_digest;
  report["source"] = SourceOf(plan, figures.execute.source_checks);
  report["bytes"] = BytesOf(plan, figures.execute.read_bytes, result.written_bytes);
  report["memory"] = MemoryOf(plan.memory.budget_bytes, plan.memory.peak_bytes, figures);
  report["lanes"] = plan.memory.lanes;
  report["bundles"] = plan.bundles.size() + 1;
  report["timing"] = {{"wall_s", figures.wall_s}, {"cpu_s", figures.cpu_s}};
  report["resumed"] = ResumedOf(figures.shard);
  if (figures.network) report["network"] = NetworkOf(*figures.network);
  report["warnings"] = plan.warnings;
  Json outputs = Json::array();
  for (size_t o = 0; o < plan.outputs.size(); ++o) {
    const ChunkedOutput& output = plan.outputs[o];
    Json companions = Json::array();
    for (const CompanionSpec& companion : output.companions) companions.push_back(companion.name);
    outputs.push_back({{"name", output.name},
                       {"path", output.root},
                       {"items", output.items},
                       {"codec", Name(output.codec)},
                       {"bits_per_weight", BitsPerWeight(output)},
                       {"companions", companions},
                       {"files", FilesOf(result.commit_files[o])},
                       {"load_with", output.how_to_load},
                       {"arrays", Arrays(plan, o, result.array_crcs[o])}});
  }
  report["outputs"] = outputs;
  // Names are checked UTF-8; the handler is for texts of configurations.
  return PrintJson(report) + "\n";
}

}  // namespace ckpt
