#include "run/report.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/json_text.h"
#include "run/journal.h"
#include "run/report_parts.h"

namespace ckpt {
namespace {

using Json = nlohmann::ordered_json;

Json Arrays(const Plan& plan, const std::vector<Crc32c>& crcs) {
  Json arrays = Json::object();
  for (const FileSpec& file : plan.output.files) {
    for (const size_t i : file.arrays) {
      const ArraySpec& spec = plan.output.arrays[i];
      const bool is_side =
          spec.encoding == Encoding::kScales || spec.encoding == Encoding::kZeroPoints;
      Json sources = Json::array();
      if (spec.encoding != Encoding::kConstant)
        sources.push_back(
            plan.catalog.tensors[plan.arrays[is_side ? spec.scales_of : i].tensor].name);
      arrays[spec.name] = {{"dtype", Name(spec.dtype)},
                           {"shape", spec.shape.extents},
                           {"crc32c", Hex(crcs[i])},
                           {"sources", sources}};
    }
  }
  return arrays;
}

}  // namespace

double BitsPerWeight(const Plan& plan) {
  double bits = 0;
  double weights = 0;
  for (size_t i = 0; i < plan.arrays.size(); ++i) {
    const Encoding encoding = plan.output.arrays[i].encoding;
    if (encoding == Encoding::kConstant) continue;
    bits += 8 * static_cast<double>(plan.arrays[i].size_bytes);
    if (!HasRows(encoding)) continue;
    const RowMap& rows = plan.arrays[i].rows;
    weights += static_cast<double>(rows.n_rows) * static_cast<double>(rows.row_elements);
  }
  return weights > 0 ? bits / weights : 0;
}

std::string ReportName(std::string_view state_name) {
  return StateFolder(state_name) + "/report.json";
}

std::string MakeReport(const Plan& plan, const RunFigures& figures, std::string_view version) {
  Json report;
  report["schema_version"] = kReportSchemaVersion;
  report["program"] = "ckpt";
  report["version"] = version;
  report["target"] = plan.target;
  report["output"] = plan.output.name;
  report["settings"] = {{"quantize", plan.settings.quantize},
                        {"preserve_dtype", plan.settings.is_dtype_preserved},
                        {"model", plan.settings.model_name},
                        {"bundle_bytes", plan.bundle_bytes},
                        {"max_shard_bytes", plan.settings.max_shard_bytes},
                        {"ignore", plan.settings.ignore},
                        {"ct_arithmetic", plan.settings.is_quotient_rounded ? "cpu" : "gpu"},
                        {"threads", figures.threads},
                        {"io", figures.io_mode}};
  report["layout_digest"] = plan.layout_digest;
  report["run_digest"] = plan.run_digest;
  report["source"] = SourceOf(plan, figures.execute.source_checks);
  report["files"] = Json::array();
  for (const FileSpec& file : plan.output.files)
    report["files"].push_back({{"name", file.name}, {"size_bytes", file.size_bytes}});
  report["companions"] = FilesOf(figures.companions);
  report["bytes"] = BytesOf(plan, figures.execute.read_bytes, plan.totals.written_bytes);
  report["memory"] = MemoryOf(plan.memory.budget_bytes, plan.memory.peak_bytes, figures);
  report["lanes"] = plan.memory.lanes;
  report["bundles"] = plan.bundles.size() + 1;
  report["timing"] = {{"wall_s", figures.wall_s}, {"cpu_s", figures.cpu_s}};
  report["resumed"] = ResumedOf(figures.shard);
  if (figures.network) report["network"] = NetworkOf(*figures.network);
  report["warnings"] = plan.warnings;
  report["bits_per_weight"] = BitsPerWeight(plan);
  report["load_with"] = plan.output.how_to_load;
  report["arrays"] = Arrays(plan, figures.execute.array_crcs);
  // Names are checked UTF-8; the handler is for texts of configurations.
  return PrintJson(report) + "\n";
}

double CpuSeconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

uint64_t PeakRssBytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmHWM:")) return std::stoull(line.substr(6)) * 1024;
  }
  return 0;
}

}  // namespace ckpt
