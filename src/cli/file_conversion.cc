#include <fmt/format.h>

#include <algorithm>

#include "base/units.h"
#include "cli/conversion.h"
#include "cli/plan_view.h"
#include "cli/planned_conversion.h"
#include "cli/registry.h"
#include "run/destination.h"

namespace ckpt {
namespace {

class FileConversion final : public PlannedConversion<Plan> {
 public:
  FileConversion(PlannedRun run, const Target& target)
      : PlannedConversion(std::move(run)), target_(target) {}

  const RunFigures& figures() const override { return figures_; }
  uint64_t written_bytes() const override { return plan_.totals.written_bytes; }
  std::vector<std::string> Beside() const override {
    std::vector<std::string> names;
    names.reserve(plan_.output.companions.size());
    for (const CompanionSpec& companion : plan_.output.companions) names.push_back(companion.name);
    if (plan_.output.marker) names.push_back(plan_.output.marker->name);
    return names;
  }
  std::string PlanText() const override { return PrintPlan(plan_); }
  std::string PlanJson() const override { return ckpt::PlanJson(plan_); }

  Result<void> CheckDestination(bool is_overwriting) const override {
    return ckpt::CheckDestination(*destination, plan_, target_, is_overwriting);
  }

  Result<bool> IsDone() const override { return IsCommitted(*destination, plan_); }

  Result<void> TidyUp() override { return ckpt::TidyUp(*destination, plan_); }

  Result<void> Run(const ConvertOptions& options, Watch& watch) override {
    CKPT_TRY(ConvertResult result,
             Convert(plan_, target_, *place.store, *destination, *budget, options, watch));
    outcome = result.outcome;
    shard = result.shard;
    figures_ = std::move(result.figures);
    late_warnings = std::move(result.warnings);
    return {};
  }

  std::string Report(std::string_view version) const override {
    return MakeReport(plan_, figures_, version);
  }

  std::string Summary(bool was_done) const override {
    const Totals& totals = plan_.totals;
    std::string text = fmt::format("{} {} -> {} ({}, {}): {} arrays, {:.2f} bits per weight\n",
                                   was_done ? kDoneAlready : kConverted, plan_.catalog.root.Print(),
                                   destination->root().Print(), plan_.target, plan_.output.name,
                                   plan_.output.arrays.size(), BitsPerWeight(plan_));
    if (!was_done) text += FiguresText(figures_, totals.written_bytes, plan_.memory.budget_bytes);
    const std::string at = destination->KeepsObjects() ? destination->root().Print() : "DEST";
    for (const std::string& line : HowToLoad("", at, ""))
      text += fmt::format("  load with: {}\n", line);
    return text;
  }

  std::vector<std::string> HowToLoad(std::string_view /*output*/, std::string_view at,
                                     std::string_view /*root*/) const override {
    std::vector<std::string> lines = plan_.output.how_to_load;
    for (std::string& line : lines) {
      constexpr std::string_view key = "DEST";
      if (const size_t found = line.find(key); found != std::string::npos)
        line.replace(found, key.size(), at);
    }
    return lines;
  }

 private:
  const Target& target_;
  RunFigures figures_;
};

}  // namespace

Result<std::unique_ptr<Conversion>> PrepareFileConversion(const Arguments& arguments,
                                                          const Settings& settings) {
  CKPT_TRY(PlannedRun run, PlanRun(arguments.source, settings));
  auto conversion = std::make_unique<FileConversion>(std::move(run), *settings.target);
  if (!arguments.destination.empty()) {
    CKPT_TRY(conversion->destination,
             OpenDestination(arguments.destination, settings.access, conversion->budget.get(),
                             conversion->uploads()));
  }
  return conversion;
}

}  // namespace ckpt
