#include "run/kernel_faults.h"

#include <fmt/format.h>

namespace ckpt {

Result<void> RefuseUnreadable(const std::map<DType, std::vector<std::string>>& tensors) {
  if (tensors.empty()) return {};
  Error error{Code::kBadInput,
              "the source holds tensors of types that this version cannot read",
              {},
              {},
              "convert from a file in BF16, F16, F32, Q8_0, Q6_K, Q4_1 or Q4_0"};
  for (const auto& [dtype, names] : tensors)
    error.details.push_back(
        fmt::format("{}: {} tensors, first \"{}\"", Name(dtype), names.size(), names.front()));
  return Fail(std::move(error));
}

}  // namespace ckpt
