#include "cli/conversion.h"

#include <fmt/format.h>

#include "base/checked.h"
#include "base/units.h"
#include "cli/machine.h"
#include "cli/registry.h"
#include "plan/memory.h"

namespace ckpt {

Result<std::unique_ptr<Conversion>> PrepareConversion(const Arguments& arguments,
                                                      const Settings& settings) {
  CKPT_TRY(std::unique_ptr<Conversion> conversion,
           settings.chunked != nullptr ? PrepareChunkedConversion(arguments, settings)
                                       : PrepareFileConversion(arguments, settings));
  conversion->remote = settings.access.remote;
  if (conversion->destination && IsSameFolder(*conversion->place.store, *conversion->destination))
    return Fail(Code::kUsage, "source and destination are the same folder",
                "name another destination");
  return conversion;
}

std::string WaitingText(const Conversion& conversion, const Shard& shard) {
  const ShardFigures& figures = conversion.shard;
  return fmt::format(
      "shard {} of {} is done: {} bundles; {} of {} are done in all; the shard that finishes last "
      "commits",
      shard.index, shard.count, figures.own, figures.recorded, figures.bundles);
}

std::string KeptText(const Conversion& conversion) {
  const ShardFigures& figures = conversion.shard;
  if (figures.kept == 0) return {};
  return fmt::format("{} of {} bundles were finished before and are kept", figures.kept,
                     figures.bundles);
}

Result<bool> Conversion::IsDoneMeanwhile(bool is_overwriting) const {
  Result<void> is_free = CheckDestination(is_overwriting);
  if (is_free) return false;
  if (!is_overwriting) {
    CKPT_TRY(const bool is_done, IsDone());
    if (is_done) return true;
  }
  return Fail(std::move(is_free).error());
}

Result<void> RunAll(Conversion& conversion, const ConvertOptions& options, Watch& watch) {
  const std::stop_callback stop(watch.stop.get_token(), [&] { conversion.remote->Stop(); });
  ConvertOptions with_network = options;
  with_network.network = [&] { return conversion.remote->figures(); };
  Result<void> result = conversion.Run(with_network, watch);
  for (std::string& warning : conversion.remote->TakeWarnings())
    conversion.late_warnings.push_back(std::move(warning));
  return result;
}

Result<void> CheckMemory(const Conversion& conversion) {
  const uint64_t needed = conversion.planned_peak_bytes() + kBesideBudgetBytes;
  const uint64_t there = MachineMemoryBytes();
  if (needed <= there) return {};
  std::string remedy =
      fmt::format("raise the container's memory limit to {} MiB or more", CeilDiv(needed, kMiB));
  // Less than the least budget is refused as it is.
  if (there >= kLeastMemoryBytes + kBesideBudgetBytes)
    remedy += fmt::format(", or give --memory {} MiB", (there - kBesideBudgetBytes) / kMiB);
  return Fail(
      Code::kResources,
      fmt::format("the conversion needs up to {} of memory, this machine or container has {}",
                  FormatMemory(needed), FormatMemory(there)),
      std::move(remedy));
}

}  // namespace ckpt
