#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "cli/arguments.h"
#include "plan/shards.h"
#include "run/convert.h"

namespace ckpt {

/// A planned conversion, whatever the form of its target. Nothing is written before Run().
class Conversion {
 public:
  virtual ~Conversion() = default;
  virtual const PlanBase& plan() const = 0;
  virtual uint64_t budget_bytes() const = 0;
  virtual uint64_t planned_peak_bytes() const = 0;
  /// Of the finished run; of no use before.
  virtual const RunFigures& figures() const = 0;

  /// What the plan says, as a table for people and as one JSON object.
  virtual std::string PlanText() const = 0;
  virtual std::string PlanJson() const = 0;
  /// What each of so many shards would do.
  virtual std::vector<ShardPart> ShardParts(unsigned shards) const = 0;

  /// Refuses a destination that is not ours to fill; changes nothing. Errors: kCannotCreate.
  virtual Result<void> CheckDestination(bool is_overwriting) const = 0;
  /// Whether the destination holds this very run, finished: same source, same settings, every
  /// output in its place.
  virtual Result<bool> IsDone() const = 0;

  /// CheckDestination(); true where that fails because another shard has finished this very run
  /// since IsDone() was asked.
  Result<bool> IsDoneMeanwhile(bool is_overwriting) const;

  /// Once IsDone(): removes what a run left that was killed right after its commit.
  virtual Result<void> TidyUp() = 0;

  /// Runs, or a shard of it, and commits once all is there. Errors: those of Convert and
  /// ConvertChunked.
  virtual Result<void> Run(const ConvertOptions& options, Watch& watch) = 0;

  /// After Run(): the report as JSON, and the text that ends `ckpt convert`; `was_done`: the output
  /// was there already, or another process made it.
  virtual std::string Report(std::string_view version) const = 0;
  virtual std::string Summary(bool was_done) const = 0;
  virtual uint64_t written_bytes() const = 0;
  /// Names of the small files that go beside the arrays.
  virtual std::vector<std::string> Beside() const = 0;
  /// After Run(): how it ended, and what became of the bundles.
  Outcome outcome = Outcome::kCommitted;
  ShardFigures shard;
  /// What run-time warnings the run left.
  std::vector<std::string> late_warnings;

  /// What a server is told to load an output ("unscanned", "int8", "bf16") that lies at `at`, below
  /// the destination that is called `root`; lines of flags come before lines of plain words.
  virtual std::vector<std::string> HowToLoad(std::string_view output, std::string_view at,
                                             std::string_view root) const = 0;

  std::shared_ptr<Remote> remote;  ///< of source and destination; never null
  SourcePlace place;
  std::shared_ptr<Store> destination;  ///< null for a plan alone
  std::unique_ptr<MemoryBudget> budget;
};

/// Opens source and destination and plans. `arguments.destination` "" is a plan alone. Errors:
/// those of stores, sources and plans; kUsage for a destination that is the source.
Result<std::unique_ptr<Conversion>> PrepareConversion(const Arguments& arguments,
                                                      const Settings& settings);

/// What a shard says that leaves the commit to others.
std::string WaitingText(const Conversion& conversion, const Shard& shard);
/// What a conversion that went on did not have to do again; empty where it began anew.
std::string KeptText(const Conversion& conversion);

/// Conversion::Run(); a stop also ends what is under way to and from remote stores, and what
/// those have to say is among the late warnings.
Result<void> RunAll(Conversion& conversion, const ConvertOptions& options, Watch& watch);

/// Whether the plan's peak, and what the program takes beside its budget, fits in this machine or
/// container. Errors: kResources with both figures.
Result<void> CheckMemory(const Conversion& conversion);

/// Of a target that writes one file.
Result<std::unique_ptr<Conversion>> PrepareFileConversion(const Arguments& arguments,
                                                          const Settings& settings);
/// Of a target of chunked arrays.
Result<std::unique_ptr<Conversion>> PrepareChunkedConversion(const Arguments& arguments,
                                                             const Settings& settings);

}  // namespace ckpt
