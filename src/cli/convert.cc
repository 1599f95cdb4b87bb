#include "run/convert.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "base/units.h"
#include "cli/arguments.h"
#include "cli/chunked_run.h"
#include "cli/plan_view.h"
#include "cli/registry.h"
#include "cli/verbs.h"
#include "cli/version.h"
#include "cli/watched.h"
#include "run/destination.h"

namespace ckpt {
namespace {

class ConvertVerb final : public Verb {
 public:
  explicit ConvertVerb(CLI::App& root) {
    app = root.add_subcommand(
        "convert", "Convert a checkpoint: ckpt convert SOURCE DEST --to jetstream-pytorch");
    app->add_option("SOURCE", arguments_.source,
                    "folder or file: Hugging Face or Meta-named safetensors, GGUF")
        ->required();
    app->add_option("DEST", arguments_.destination,
                    "folder to make; null: writes nothing (for measuring)")
        ->required();
    AddConversionOptions(*app, arguments_);
    app->add_flag("--overwrite", arguments_.is_overwriting, "replace what lies in DEST");
    app->add_flag("--quiet", arguments_.is_quiet, "no progress");
    app->add_flag("--json", arguments_.is_json, "print the result as one JSON object");
  }

  Result<void> Run() override {
    CKPT_TRY(const Settings settings, ParseSettings(arguments_));
    if (settings.chunked != nullptr) return RunChunkedConvert(arguments_, settings);
    CKPT_TRY(PlannedRun run, PlanRun(arguments_.source, settings));
    CKPT_TRY(const std::shared_ptr<Store> destination,
             OpenDestination(arguments_.destination, settings.io_mode));
    if (IsSameFolder(*run.place.store, *destination))
      return Fail(Code::kUsage, "source and destination are the same folder",
                  "name another destination");
    CKPT_TRY_VOID(CheckDestination(*destination, *settings.target, arguments_.is_overwriting));
    PrintWarnings(run.plan.warnings);

    const ConvertOptions options{arguments_.is_overwriting, settings.plan.resources.threads,
                                 arguments_.io, std::string(kVersion)};
    const Result<ConvertResult> result = RunWatched<ConvertResult>(
        run.plan.totals, run.plan.memory.budget_bytes, arguments_.is_quiet,
        "what was written is removed; run again", [&](Watch& watch) {
          return Convert(run.plan, *settings.target, *run.place.store, *destination, *run.budget,
                         options, watch);
        });
    if (!result) return Fail(result.error());
    PrintWarnings(result->warnings);
    Print(run.plan, *result, *destination);
    return {};
  }

 private:
  void Print(const Plan& plan, const ConvertResult& result, const Store& destination) const {
    const RunFigures& figures = result.figures;
    if (arguments_.is_json) {
      nlohmann::ordered_json json =
          nlohmann::ordered_json::parse(MakeReport(plan, figures, kVersion));
      json["destination"] = destination.root().Print();
      fmt::print("{}\n", json.dump(1));
      return;
    }
    const auto moved = static_cast<double>(figures.execute.read_bytes + plan.totals.written_bytes);
    fmt::print("converted {} -> {} ({}, {}): {} arrays\n", plan.catalog.root.Print(),
               destination.root().Print(), plan.target, plan.output.name,
               plan.output.arrays.size());
    fmt::print("  {} in, {} out, {:.2f} s, {} moved; CPU {:.2f} s\n",
               FormatBytes(figures.execute.read_bytes), FormatBytes(plan.totals.written_bytes),
               figures.wall_s, FormatRate(moved / std::max(1e-3, figures.wall_s)), figures.cpu_s);
    fmt::print("  peak memory {} of a budget of {}\n", FormatMemory(figures.peak_rss_bytes),
               FormatMemory(plan.memory.budget_bytes));
    for (const std::string& line : plan.output.how_to_load) fmt::print("  load with: {}\n", line);
  }

  Arguments arguments_;
};

class PlanVerb final : public Verb {
 public:
  explicit PlanVerb(CLI::App& root) {
    app = root.add_subcommand(
        "plan", "Show what convert would do: bytes, requests, memory; reads only headers");
    app->add_option("SOURCE", arguments_.source, "as for convert")->required();
    app->add_option("DEST", arguments_.destination, "checked if given, never written");
    AddConversionOptions(*app, arguments_);
    app->add_flag("--overwrite", arguments_.is_overwriting, "as for convert");
    app->add_flag("--quiet", arguments_.is_quiet, "as for convert");
    app->add_flag("--json", arguments_.is_json, "print the plan as one JSON object");
  }

  Result<void> Run() override {
    Arguments arguments = arguments_;
    if (arguments.target.empty() && arguments.destination.empty()) arguments.destination = "null:";
    CKPT_TRY(const Settings settings, ParseSettings(arguments));
    if (settings.chunked != nullptr) return RunChunkedPlan(arguments, settings);
    CKPT_TRY(const PlannedRun run, PlanRun(arguments_.source, settings));
    if (!arguments_.destination.empty()) {
      CKPT_TRY(const std::shared_ptr<Store> destination,
               OpenDestination(arguments_.destination, settings.io_mode));
      CKPT_TRY_VOID(CheckDestination(*destination, *settings.target, arguments_.is_overwriting));
    }
    PrintWarnings(run.plan.warnings);
    fmt::print("{}", arguments_.is_json ? PlanJson(run.plan) : PrintPlan(run.plan));
    return {};
  }

 private:
  Arguments arguments_;
};

}  // namespace

std::unique_ptr<Verb> AddConvert(CLI::App& root) { return std::make_unique<ConvertVerb>(root); }
std::unique_ptr<Verb> AddPlan(CLI::App& root) { return std::make_unique<PlanVerb>(root); }

}  // namespace ckpt
