#include "run/kernel_faults.h"

#include <fmt/format.h>

namespace ckpt {

Result<void> RefuseUnreadable(const std::map<DType, std::vector<std::string>>& tensors) {
  if (tensors.empty()) return {};
  Error error{Code::kBadInput,
              "the source holds tensors of types that this version cannot read",
              {},
              {},
              "convert from a file in BF16, F16 or F32, or in the GGUF types Q8_0, Q2_K to Q6_K, "
              "Q4_0 to Q5_1, IQ4_NL and IQ4_XS"};
  for (const auto& [dtype, names] : tensors)
    error.details.push_back(
        fmt::format("{}: {} tensors, first \"{}\"", Name(dtype), names.size(), names.front()));
  return Fail(std::move(error));
}

}  // namespace ckpt
