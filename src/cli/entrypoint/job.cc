#include "cli/entrypoint/job.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/json_text.h"
#include "base/text.h"
#include "base/units.h"
#include "cli/conversion.h"
#include "cli/entrypoint/stand_in.h"
#include "cli/output_lock.h"
#include "cli/registry.h"
#include "cli/shard_view.h"
#include "cli/version.h"
#include "cli/watched.h"
#include "model/family.h"
#include "plan/memory.h"
#include "run/mark.h"
#include "run/report_state.h"
#include "source/reading.h"

namespace ckpt::contract {
namespace {

constexpr std::string_view kItems = "/items";

class Job {
 public:
  Job(const Contract& contract, Arguments arguments, const Environment& environment, Log& log)
      : contract_(contract),
        arguments_(std::move(arguments)),
        environment_(environment),
        log_(log),
        begin_(std::chrono::steady_clock::now()) {}

  Result<std::string> Run(const std::function<void(const Error&)>& tell) {
    for (const std::string& line : contract_.opening_lines) log_.Info(line);
    for (const std::string& line : contract_.notices) log_.Notice(line);
    for (const std::string& line : contract_.warnings) log_.Warn(line);
    Result<std::string> ended = Work();
    if (ended) return ended;
    tell(ended.error());
    LeaveFailure(ended.error());
    return ended;
  }

 private:
  Result<std::string> Work() {
    // What is wrong with the source and with the outputs is found before the first weight is read.
    CKPT_TRY(const Candidates candidates, FindCandidates(contract_, environment_));
    arguments_.remote.credentials = candidates.credentials;
    arguments_.remote.tell = [this](std::string_view words) { log_.Info(words); };
    CKPT_TRY(arguments_.destination, FindDestination(contract_, environment_));
    CKPT_TRY_VOID(PlaceOutputs());
    CKPT_TRY_VOID(Prepare(candidates));
    CKPT_TRY_VOID(CheckFamily());
    for (const std::string& warning : conversion_->plan().warnings) log_.Warn(warning);
    shard_ = {settings_.shard.index, settings_.shard.count};
    if (!settings_.shard.notice.empty()) log_.Notice(settings_.shard.notice);
    SayPlan();
    // Held until the container's last message is made; a dry run writes nothing, so it waits for
    // nobody.
    if (!contract_.is_dry_run) {
      CKPT_TRY(OutputLock lock, OutputLock::Take(*conversion_->destination, contract_.state_name,
                                                 !shard_.is_whole()));
      lock_.emplace(std::move(lock));
    }
    CKPT_TRY(const bool is_done, conversion_->IsDone());
    if (is_done && !contract_.is_overwriting) return FinishDone();
    CKPT_TRY_VOID(CheckMemory(*conversion_));
    CKPT_TRY(const bool is_done_meanwhile, conversion_->IsDoneMeanwhile(contract_.is_overwriting));
    if (is_done_meanwhile) return FinishDone();
    is_ours_ = true;
    if (!contract_.is_dry_run) CKPT_TRY_VOID(Probe());
    if (contract_.is_dry_run) {
      log_.Info("Dry run: nothing is written");
      log_.Show(PlanTextOf(*conversion_, settings_.shard),
                PlanJsonOf(*conversion_, settings_.shard));
      return std::string("dry run, exit 0: the conversion would begin\n");
    }
    CKPT_TRY_VOID(Convert());
    if (conversion_->outcome == Outcome::kWaiting) return Wait();
    return Finish(conversion_->outcome == Outcome::kCommittedByOthers);
  }

  Result<std::string> FinishDone() {
    log_.Info("The outputs are there already, made from this source with these settings");
    if (!contract_.is_dry_run) CKPT_TRY_VOID(conversion_->TidyUp());
    return Finish(true);
  }

  // The outputs' paths as options of the conversion.
  Result<void> PlaceOutputs() {
    if (contract_.server != Server::kMaxText) return {};
    for (const Output& output : contract_.outputs) {
      std::string path = Reached(output.path, environment_);
      // A step's folder holds the item "items".
      if (path.ends_with(kItems)) path.resize(path.size() - kItems.size());
      arguments_.output_paths.push_back(fmt::format("{}={}", contract_.ConvertName(output), path));
    }
    return {};
  }

  // Plans from the first candidate that holds a model.
  Result<void> Prepare(const Candidates& candidates) {
    for (const Candidate& candidate : candidates.places) {
      arguments_.source = candidate.argument;
      CKPT_TRY(settings_, ParseSettings(arguments_));
      Result<std::unique_ptr<Conversion>> prepared = PrepareConversion(arguments_, settings_);
      if (prepared) {
        conversion_ = *std::move(prepared);
        log_.Info(fmt::format("Reading {}", Redacted(candidate.shown)));
        return {};
      }
      const bool is_last = &candidate == &candidates.places.back() && !candidates.beyond;
      if (prepared.error().code != Code::kNotFound || is_last) return Fail(prepared.error());
      if (candidate.is_usual)
        log_.Warn(
            fmt::format("{} holds no model: {}", Redacted(candidate.shown), prepared.error().what));
    }
    return Fail(
        candidates.beyond.value_or(Error{Code::kInternal, "no place to read from", {}, {}, {}}));
  }

  Result<void> CheckFamily() {
    const std::string& family = conversion_->plan().model.family->name();
    if (family == contract_.family) return {};
    return Fail(Code::kUsage,
                fmt::format("the files hold a model of family {}, the arguments say {}", family,
                            contract_.family),
                "give the --model_name and --model_path of this model");
  }

  // Creates and removes an object where the outputs will lie.
  Result<void> Probe() {
    Store& destination = *conversion_->destination;
    const std::string probe = ProbeName(contract_.state_name);
    CKPT_TRY_VOID(WriteSmallObject(destination, probe, "", {.is_create_only = false}));
    return destination.Remove(probe);
  }

  void SayPlan() {
    const PlanBase& plan = conversion_->plan();
    log_.Info(fmt::format("{} tensors, {} in, {} out, at most {} of memory, {}",
                          plan.catalog.tensors.size(), FormatBytes(plan.totals.read_bytes),
                          FormatBytes(plan.totals.written_bytes),
                          FormatMemory(conversion_->planned_peak_bytes()),
                          conversion_->remote->is_using_scratch()
                              ? fmt::format("scratch disk {}", Redacted(arguments_.remote.scratch))
                              : "no scratch disk"));
    // How MaxText turns the heads is nothing that the other server asks.
    if (contract_.server == Server::kPytorch) return;
    for (const std::string& note : plan.model.notes) log_.Info(note);
  }

  Result<void> Convert() {
    for (const Output& output : contract_.outputs) {
      if (output.role == "scanned")
        log_.Info(fmt::format("Beginning conversion of scanned checkpoint to {}", output.path));
      if (output.role == "quantized")
        log_.Info(fmt::format("Beginning quantizing model {} with {}",
                              conversion_->plan().model.served_name, contract_.quantize));
    }
    const ConvertOptions options{.is_overwriting = contract_.is_overwriting,
                                 .threads = settings_.plan.resources.threads,
                                 .io_mode = arguments_.io,
                                 .version = std::string(kVersion),
                                 .shard = shard_,
                                 .is_alone = lock_->is_alone(),
                                 .is_verifying_resume = settings_.is_verifying_resume};
    LogProgress view(log_, conversion_->plan().totals, conversion_->budget_bytes());
    CKPT_TRY_VOID(RunWatchedBy<void>(
        view, kAfterStop, [&](Watch& watch) { return RunAll(*conversion_, options, watch); }));
    for (const std::string& warning : conversion_->late_warnings) log_.Warn(warning);
    if (const std::string kept = KeptText(*conversion_); !kept.empty()) log_.Info(kept);
    return {};
  }

  // The outputs are not there yet: whoever finishes last says the lines that users wait for.
  std::string Wait() {
    const std::string line = WaitingText(*conversion_, shard_);
    log_.Info(line);
    return fmt::format("done, exit 0: {}\n", line);
  }

  // Everything is committed: the lines that users wait for, each with what loads it.
  std::string Finish(bool was_done) {
    for (const Output& output : contract_.outputs) {
      if (output.role == "scanned")
        log_.Info(fmt::format("Completed conversion of scanned checkpoint to {}", output.path));
      if (output.final_line.empty()) continue;
      if (!output.line_before.empty()) log_.Info(output.line_before);
      log_.Info(output.final_line);
      SayHowToLoad(output);
    }
    return Message(was_done);
  }

  void SayHowToLoad(const Output& output) {
    const std::string at = output.role == "weights" ? contract_.folder : output.path;
    for (const std::string& line :
         conversion_->HowToLoad(contract_.ConvertName(output), at, contract_.folder)) {
      const bool is_flags = line.find('=') != std::string::npos;
      log_.Info(is_flags ? fmt::format("Load with: {}", line) : line);
    }
  }

  // Files beside the weights are written where the source has them.
  bool IsWritten(const Output& output) const {
    if (output.role != "params" && output.role != "tokenizer") return true;
    const std::vector<std::string> names = conversion_->Beside();
    return std::find(names.begin(), names.end(), BaseName(output.path)) != names.end();
  }

  std::string Message(bool was_done) const {
    std::vector<std::string> places;
    for (const Output& output : contract_.outputs) {
      if (IsWritten(output)) places.push_back(output.path);
    }
    const double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count();
    if (was_done)
      return fmt::format("done, exit 0: the outputs were there already\n{}\n",
                         fmt::join(places, "\n"));
    return fmt::format("done, exit 0: {} in, {} out, {:.1f} s, peak memory {}\n{}\n",
                       FormatBytes(conversion_->figures().execute.read_bytes),
                       FormatBytes(conversion_->written_bytes()), seconds,
                       FormatMemory(conversion_->figures().peak_rss_bytes),
                       fmt::join(places, "\n"));
  }

  // Whether a run that had not begun to write tells its failure in the destination: not for what
  // the arguments say, nor where the destination, or a service, is what failed.
  static bool IsToldUnbegun(Code code) {
    return code == Code::kBadInput || code == Code::kNotFound || code == Code::kResources ||
           code == Code::kDenied || code == Code::kNoCredential;
  }

  // The destination that a run was going to have, for a failure's few bytes.
  Result<std::shared_ptr<Store>> UnbegunDestination(MemoryBudget& budget) {
    CKPT_TRY(arguments_.destination, FindDestination(contract_, environment_));
    CKPT_TRY(const Settings settings, ParseSettings(arguments_));
    return OpenDestination(arguments_.destination, settings.access, &budget);
  }

  void LeaveFailure(const Error& error) {
    if (contract_.is_dry_run || error.code == Code::kCannotCreate ||
        error.code == Code::kTemporary || (!is_ours_ && !IsToldUnbegun(error.code)))
      return;
    // Best effort: the failure itself is what counts.
    if (conversion_) {
      (void)WriteFailureReport(*conversion_->destination, FailureText(error), conversion_->plan());
      return;
    }
    MemoryBudget budget(kLeastMemoryBytes);
    const Result<std::shared_ptr<Store>> destination = UnbegunDestination(budget);
    PlanBase unplanned;
    unplanned.state_name = contract_.state_name;
    if (destination) (void)WriteFailureReport(**destination, FailureText(error), unplanned);
  }

  static std::string FailureText(const Error& error) {
    nlohmann::ordered_json json;
    json["schema_version"] = 1;
    json["program"] = "ckpt";
    json["version"] = kVersion;
    json["result"] = "failed";
    json["exit_code"] = ExitStatus(error.code);
    nlohmann::ordered_json where = nlohmann::ordered_json::array();
    for (const Place& place : error.where)
      where.push_back({{"kind", place.kind}, {"value", place.value}});
    json["error"] = {{"what", error.what},
                     {"details", error.details},
                     {"where", where},
                     {"remedy", error.remedy}};
    return HideSecrets(PrintJson(json)) + "\n";
  }

  const Contract& contract_;
  Arguments arguments_;
  const Environment& environment_;
  Log& log_;
  const std::chrono::steady_clock::time_point begin_;
  Settings settings_;
  std::unique_ptr<Conversion> conversion_;
  std::optional<OutputLock> lock_;
  Shard shard_;
  bool is_ours_ = false;
};

}  // namespace

Result<std::string> RunJob(const Contract& contract, const Arguments& arguments,
                           const Environment& environment, Log& log,
                           const std::function<void(const Error&)>& tell) {
  return Job(contract, arguments, environment, log).Run(tell);
}

}  // namespace ckpt::contract
