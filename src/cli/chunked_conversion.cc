#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/json_text.h"
#include "base/units.h"
#include "cli/conversion.h"
#include "cli/plan_view.h"
#include "cli/planned_conversion.h"
#include "cli/registry.h"
#include "model/family.h"
#include "run/chunked_convert.h"
#include "run/chunked_destination.h"

namespace ckpt {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kLoadKey = "load_parameters_path=";
constexpr std::string_view kConfigKey = "quant_cfg_path=";

// The flags of a line, with the value of one replaced as a user sees the path.
std::string WithPath(const std::string& line, std::string_view key, std::string_view path) {
  const size_t at = line.find(key);
  if (at == std::string::npos) return line;
  const size_t begin = at + key.size();
  const size_t end = std::min(line.find(' ', begin), line.size());
  return fmt::format("{}{}{}", line.substr(0, begin), path, line.substr(end));
}

Json JsonOf(const ChunkedPlan& plan) {
  const Totals& totals = plan.totals;
  const ChunkedMemory& memory = plan.memory;
  Json outputs = Json::array();
  for (const ChunkedOutput& output : plan.outputs) {
    Json arrays = Json::object();
    for (const ChunkedArray& array : output.arrays)
      arrays[array.name] = {
          {"dtype", Name(array.dtype)}, {"shape", array.shape.extents}, {"chunk", array.chunk}};
    outputs.push_back({{"name", output.name},
                       {"path", output.root},
                       {"items", output.items},
                       {"bits_per_weight", BitsPerWeight(output)},
                       {"load_with", output.how_to_load},
                       {"arrays", arrays}});
  }
  return {{"target", plan.target},
          {"family", plan.model.family->name()},
          {"model", {{"name", plan.model.served_name}, {"notes", plan.model.notes}}},
          {"source", SourceJson(plan)},
          {"dims", plan.model.dims},
          {"outputs", outputs},
          {"bytes", BytesJson(plan)},
          {"rereads", RereadsJson(plan)},
          {"requests", totals.requests},
          {"bundles", plan.bundles.size() + 1},
          {"bundle_bytes", plan.bundle_bytes},
          {"memory",
           {{"budget_bytes", memory.budget_bytes},
            {"peak_bytes", memory.peak_bytes},
            {"lanes", memory.lanes},
            {"band_bytes", memory.in_bytes}}},
          {"scratch_disk_bytes", 0},
          {"layout_digest", plan.layout_digest},
          {"run_digest", plan.run_digest},
          {"warnings", plan.warnings}};
}

std::string TextOf(const ChunkedPlan& plan) {
  const Totals& totals = plan.totals;
  const ChunkedMemory& memory = plan.memory;
  std::string text;
  const auto row = [&](std::string_view name, const std::string& value) {
    text += PlanRow(name, value);
  };
  row("source", SourceText(plan));
  row("family", plan.model.family->name());
  for (const std::string& note : plan.model.notes) row("", note);
  for (const ChunkedOutput& output : plan.outputs)
    row("output", fmt::format("{}: {} arrays in {}, {:.2f} bits per weight", output.name,
                              output.arrays.size(), output.root, BitsPerWeight(output)));
  text += ReadRows(plan);
  row("write",
      fmt::format("{} ({} bytes)", FormatBytes(totals.written_bytes), totals.written_bytes));
  text += MemoryRow(memory.peak_bytes, memory.budget_bytes);
  row("work",
      fmt::format("{} bundles of up to {}, {} lanes, bands of {}", plan.bundles.size() + 1,
                  FormatMemory(plan.bundle_bytes), memory.lanes, FormatMemory(memory.in_bytes)));
  text += DigestRows(plan);
  return text;
}

class ChunkedConversion final : public PlannedConversion<ChunkedPlan> {
 public:
  ChunkedConversion(PlannedChunkedRun run, const ChunkedTarget& target)
      : PlannedConversion(std::move(run)), target_(target) {}

  const RunFigures& figures() const override { return result_.figures; }
  uint64_t written_bytes() const override { return result_.written_bytes; }
  std::vector<std::string> Beside() const override {
    std::vector<std::string> names;
    for (const ChunkedOutput& output : plan_.outputs) {
      for (const CompanionSpec& companion : output.companions) names.push_back(companion.name);
    }
    return names;
  }
  std::string PlanText() const override { return TextOf(plan_); }
  std::string PlanJson() const override { return PrintJson(JsonOf(plan_)) + "\n"; }

  Result<void> CheckDestination(bool is_overwriting) const override {
    return ckpt::CheckDestination(*destination, plan_, target_, is_overwriting);
  }

  Result<bool> IsDone() const override { return IsCommitted(*destination, plan_, target_); }

  Result<void> TidyUp() override { return ckpt::TidyUp(*destination, plan_, target_); }

  Result<void> Run(const ConvertOptions& options, Watch& watch) override {
    CKPT_TRY(result_,
             ConvertChunked(plan_, target_, *place.store, *destination, *budget, options, watch));
    outcome = result_.outcome;
    shard = result_.shard;
    return {};
  }

  std::string Report(std::string_view version) const override {
    return MakeChunkedReport(plan_, result_, version);
  }

  std::string Summary(bool was_done) const override {
    const Uri& root = destination->root();
    std::string text = fmt::format("{} {} -> {} ({})\n", was_done ? kDoneAlready : kConverted,
                                   plan_.catalog.root.Print(), root.Print(), plan_.target);
    if (!was_done)
      text += FiguresText(result_.figures, result_.written_bytes, plan_.memory.budget_bytes);
    if (destination->KeepsObjects())
      text += fmt::format("  report in {}\n", root.PrintBelow(ReportName(plan_.state_name)));
    for (const std::string& note : plan_.model.notes) text += fmt::format("  {}\n", note);
    for (const ChunkedOutput& output : plan_.outputs) {
      text +=
          fmt::format("{}: {} arrays, {:.2f} bits per weight, in {}\n", output.name,
                      output.arrays.size(), BitsPerWeight(output), root.PrintBelow(output.root));
      for (const CompanionSpec& companion : output.companions)
        text += fmt::format("  the server's configuration lies in {}\n",
                            root.PrintBelow(companion.name));
      for (const std::string& line : HowToLoad(
               output.name, root.PrintBelow(Below(output.root, output.items)), root.Print())) {
        const bool is_flags = line.find(kLoadKey) != std::string::npos;
        text += fmt::format("  {}{}\n", is_flags ? "load with: " : "", line);
      }
    }
    return text;
  }

  std::vector<std::string> HowToLoad(std::string_view name, std::string_view at,
                                     std::string_view root) const override {
    std::vector<std::string> lines;
    for (const ChunkedOutput& output : plan_.outputs) {
      if (output.name != name) continue;
      for (std::string line : output.how_to_load) {
        line = WithPath(line, kLoadKey, at);
        for (const CompanionSpec& companion : output.companions)
          line = WithPath(line, kConfigKey, Below(root, companion.name));
        lines.push_back(std::move(line));
      }
    }
    return lines;
  }

 private:
  const ChunkedTarget& target_;
  ChunkedResult result_;
};

}  // namespace

Result<std::unique_ptr<Conversion>> PrepareChunkedConversion(const Arguments& arguments,
                                                             const Settings& settings) {
  CKPT_TRY(PlannedChunkedRun run,
           PlanChunkedRun(arguments.source, settings,
                          !arguments.destination.empty() && IsSink(settings.destination)));
  auto conversion = std::make_unique<ChunkedConversion>(std::move(run), *settings.chunked);
  if (!arguments.destination.empty()) {
    CKPT_TRY(conversion->destination,
             OpenDestination(settings.destination, settings.access, conversion->budget.get(),
                             conversion->uploads()));
  }
  return conversion;
}

}  // namespace ckpt
