#include "cli/conversion.h"

#include <fmt/format.h>

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
  if (conversion->destination && IsSameFolder(*conversion->place.store, *conversion->destination))
    return Fail(Code::kUsage, "source and destination are the same folder",
                "name another destination");
  return conversion;
}

Result<void> CheckMemory(const Conversion& conversion) {
  const uint64_t needed = conversion.planned_peak_bytes() + kBesideBudgetBytes;
  const uint64_t there = MachineMemoryBytes();
  if (needed <= there) return {};
  return Fail(
      Code::kResources,
      fmt::format("the conversion needs up to {} of memory, this machine or container has {}",
                  FormatMemory(needed), FormatMemory(there)),
      fmt::format("raise the container's memory limit, or give --memory {} or less",
                  FormatMemory(kLeastMemoryBytes)));
}

}  // namespace ckpt
