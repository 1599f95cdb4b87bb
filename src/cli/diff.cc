#include <fmt/format.h>

#include <stop_token>

#include "cli/diff_sides.h"
#include "cli/diff_view.h"
#include "cli/plan_view.h"
#include "cli/verbs.h"
#include "cli/watched.h"
#include "run/role_diff.h"

namespace ckpt {
namespace {

class DiffVerb final : public Verb {
 public:
  explicit DiffVerb(CLI::App& root)
      : Verb(root, "diff",
             "Compare two checkpoints role by role, whatever their formats (exit status 1: they "
             "differ)") {
    options.Required("A", words_[0].place, "folder, file or remote place, as convert takes it");
    options.Required("B", words_[1].place, "the other one");
    for (size_t side = 0; side < 2; ++side) AddSideOptions(side);
    options.Flag("--all", is_all_, "list every role, also those that are equal");
    options.Flag("--quiet", arguments_.is_quiet, "no progress");
    options.Flag("--json", arguments_.is_json, "print one JSON object");
    AddResourceOptions(options, arguments_);
  }

  Result<void> Run() override {
    std::array<Settings, 2> settings;
    for (size_t side = 0; side < 2; ++side) {
      CKPT_TRY(settings[side], ParseSide(words_[side]));
    }
    // One engine and one set of credentials for both.
    settings[1].access = settings[0].access;
    Remote& remote = *settings[0].access.remote;
    using Sides = std::array<OpenedSide, 2>;
    CKPT_TRY(Sides sides, OpenSides(words_, settings));
    PrintWarnings(remote.TakeWarnings());
    for (size_t side = 0; side < 2; ++side) {
      PrintWarnings(Named(side, sides[side].catalog.warnings));
      PrintWarnings(Named(side, sides[side].model.warnings));
    }
    Resources resources = settings[0].plan.resources;
    for (const OpenedSide& side : sides)
      resources.source_held_bytes += side.place.store->held_bytes();
    CKPT_TRY(const DiffPlan plan, PlanDiff(sides[0].side(), sides[1].side(), resources));

    Progress progress;
    Result<DiffResult> result = RunWatched<DiffResult>(
        plan.totals, plan.memory.budget_bytes, arguments_.is_quiet,
        "nothing was changed; run again", [&](Watch& watch) {
          const std::stop_callback stop(watch.stop.get_token(), [&] { remote.Stop(); });
          return RunDiff(plan, progress, watch);
        });
    PrintWarnings(remote.TakeWarnings());
    if (!result) return Fail(std::move(result).error());
    const std::array<DiffName, 2> names = {DiffName{sides[0].name, sides[0].reading},
                                           DiffName{sides[1].name, sides[1].reading}};
    fmt::print("{}", arguments_.is_json ? DiffJson(plan, *result, names, is_all_)
                                        : DiffText(plan, *result, names, is_all_));
    status_ = IsAllEqual(plan, *result) ? 0 : 1;
    return {};
  }

  int status() const override { return status_; }

 private:
  void AddSideOptions(size_t side) {
    SideWords& words = words_[side];
    const std::string name = SideName(side);
    const std::string end = side == 0 ? "-a" : "-b";
    options.Value("--config" + end, "FILE", words.config,
                  fmt::format("config.json or params.json of {} (default: its own, else that of "
                              "the other)",
                              name));
    options.Value("--rope-layout" + end, "LAYOUT", words.rope_layout,
                  fmt::format("half or interleaved: the rotary order of {}, where it is MaxText's "
                              "(default: as the configuration says)",
                              name));
    options.Value("--source-format" + end, "FORMAT", words.format,
                  fmt::format("--source-format for {} alone", name));
  }

  // What is said of both, and of this side alone.
  Result<Settings> ParseSide(const SideWords& words) const {
    Arguments arguments = arguments_;
    if (!words.format.empty()) arguments.source_format = words.format;
    CKPT_TRY(Settings settings, ParseSettings(arguments));
    settings.chunked_settings.rope_layout = words.rope_layout;
    return settings;
  }

  static std::vector<std::string> Named(size_t side, std::vector<std::string> warnings) {
    for (std::string& warning : warnings) warning.insert(0, SideName(side) + ": ");
    return warnings;
  }

  std::array<SideWords, 2> words_;
  Arguments arguments_;
  bool is_all_ = false;
  int status_ = 0;
};

}  // namespace

std::unique_ptr<Verb> AddDiff(CLI::App& root) { return std::make_unique<DiffVerb>(root); }

}  // namespace ckpt
