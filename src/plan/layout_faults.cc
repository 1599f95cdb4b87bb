#include "plan/layout_faults.h"

#include <fmt/format.h>

namespace ckpt {
namespace {
constexpr size_t kMostDetails = 20;
}

void LayoutFaults::Add(const Error& error) {
  faults_.push_back(error.what);
  remedy_ = error.remedy;
}

Result<void> LayoutFaults::Get() && {
  if (faults_.empty()) return {};
  Error error{Code::kBadInput,
              fmt::format("{} tensors cannot be laid out", faults_.size()),
              {},
              {},
              remedy_};
  if (faults_.size() > kMostDetails) {
    faults_.resize(kMostDetails);
    faults_.emplace_back("...");
  }
  error.details = std::move(faults_);
  return Fail(std::move(error));
}

}  // namespace ckpt
