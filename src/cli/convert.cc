#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/json_text.h"
#include "cli/arguments.h"
#include "cli/conversion.h"
#include "cli/output_lock.h"
#include "cli/plan_view.h"
#include "cli/shard_view.h"
#include "cli/verbs.h"
#include "cli/version.h"
#include "cli/watched.h"

namespace ckpt {
namespace {

class ConvertVerb final : public Verb {
 public:
  explicit ConvertVerb(CLI::App& root)
      : Verb(root, "convert",
             "Convert a checkpoint: ckpt convert SOURCE DEST --to jetstream-pytorch") {
    options.Required("SOURCE", arguments_.source,
                     "folder or file: Hugging Face or Meta-named safetensors, GGUF");
    options.Required("DEST", arguments_.destination,
                     "folder to make; null: writes nothing (for measuring)");
    AddConversionOptions(options, arguments_);
    options.Flag("--overwrite", arguments_.is_overwriting, "replace what lies in DEST");
    options.Flag("--quiet", arguments_.is_quiet, "no progress");
    options.Flag("--json", arguments_.is_json, "print the result as one JSON object");
  }

  Result<void> Run() override {
    CKPT_TRY(const Settings settings, ParseSettings(arguments_));
    CKPT_TRY(const std::unique_ptr<Conversion> conversion, PrepareConversion(arguments_, settings));
    CKPT_TRY_VOID(CheckMemory(*conversion));
    const Shard shard{settings.shard.index, settings.shard.count};
    CKPT_TRY(const OutputLock lock,
             OutputLock::Take(*conversion->destination, "", !shard.is_whole()));
    CKPT_TRY(const bool is_done, conversion->IsDone());
    const auto end = [&]() -> Result<void> {
      CKPT_TRY_VOID(conversion->TidyUp());
      return PrintEnd(*conversion, shard, true);
    };
    if (is_done && !arguments_.is_overwriting) return end();
    CKPT_TRY(const bool is_done_meanwhile, conversion->IsDoneMeanwhile(arguments_.is_overwriting));
    if (is_done_meanwhile) return end();
    PrintWarnings(conversion->plan().warnings);
    PrintNotice(settings.shard.notice);
    const ConvertOptions run_options{.is_overwriting = arguments_.is_overwriting,
                                     .threads = settings.plan.resources.threads,
                                     .io_mode = arguments_.io,
                                     .version = std::string(kVersion),
                                     .shard = shard,
                                     .is_alone = lock.is_alone(),
                                     .is_verifying_resume = settings.is_verifying_resume};
    CKPT_TRY_VOID(RunWatched<void>(
        conversion->plan().totals, conversion->budget_bytes(), arguments_.is_quiet, kAfterStop,
        [&](Watch& watch) { return RunAll(*conversion, run_options, watch); }));
    PrintWarnings(conversion->late_warnings);
    if (const std::string kept = KeptText(*conversion); !kept.empty() && !arguments_.is_json)
      fmt::print("{}\n", kept);
    return PrintEnd(*conversion, shard, false);
  }

 private:
  Result<void> PrintEnd(const Conversion& conversion, const Shard& shard, bool was_done) const {
    if (!was_done && conversion.outcome == Outcome::kWaiting) {
      const std::string line = WaitingText(conversion, shard);
      fmt::print("{}\n",
                 arguments_.is_json ? PrintJson({{"result", "waiting"}, {"message", line}}) : line);
      return {};
    }
    was_done |= conversion.outcome == Outcome::kCommittedByOthers;
    if (!arguments_.is_json) {
      fmt::print("{}", conversion.Summary(was_done));
      return {};
    }
    std::string report = was_done ? std::string() : conversion.Report(kVersion);
    if (was_done) {
      CKPT_TRY(report, conversion.destination->ReadWhole(ReportName(conversion.plan().state_name),
                                                         kMostReportBytes));
    }
    auto json = ParseOrderedJson(report);
    json["destination"] = conversion.destination->root().Print();
    fmt::print("{}\n", PrintJson(json));
    return {};
  }

  Arguments arguments_;
};

class PlanVerb final : public Verb {
 public:
  explicit PlanVerb(CLI::App& root)
      : Verb(root, "plan",
             "Show what convert would do: bytes, requests, memory; reads only headers") {
    options.Required("SOURCE", arguments_.source, "as for convert");
    options.Optional("DEST", arguments_.destination, "checked if given, never written");
    AddConversionOptions(options, arguments_);
    options.Flag("--overwrite", arguments_.is_overwriting, "as for convert");
    options.Flag("--quiet", arguments_.is_quiet, "as for convert");
    options.Flag("--json", arguments_.is_json, "print the plan as one JSON object");
  }

  Result<void> Run() override {
    Arguments arguments = arguments_;
    arguments.shard.needs_index = false;
    if (arguments.target.empty() && arguments.destination.empty()) arguments.destination = "null:";
    CKPT_TRY(const Settings settings, ParseSettings(arguments));
    CKPT_TRY(const std::unique_ptr<Conversion> conversion, PrepareConversion(arguments_, settings));
    if (conversion->destination)
      CKPT_TRY_VOID(conversion->CheckDestination(arguments_.is_overwriting));
    PrintWarnings(conversion->plan().warnings);
    fmt::print("{}", arguments_.is_json ? PlanJsonOf(*conversion, settings.shard)
                                        : PlanTextOf(*conversion, settings.shard));
    if (const auto network = settings.access.remote->figures(); network && !arguments_.is_json)
      fmt::print("{}", NetworkText(*network));
    return {};
  }

 private:
  Arguments arguments_;
};

}  // namespace

std::unique_ptr<Verb> AddConvert(CLI::App& root) { return std::make_unique<ConvertVerb>(root); }
std::unique_ptr<Verb> AddPlan(CLI::App& root) { return std::make_unique<PlanVerb>(root); }

}  // namespace ckpt
