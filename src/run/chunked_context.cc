#include "run/chunked_context.h"

#include <numeric>

#include "base/check.h"

namespace ckpt {

void ChunkedRecords::Begin(uint32_t number) {
  if (log_ != nullptr) log_->Begin(number);
}

Result<void> ChunkedRecords::Put(BundleRecord record) {
  if (journal_ != nullptr) {
    CKPT_TRY_VOID(journal_->Put(record));
    if (log_ != nullptr) log_->Done(record.number);
    return {};
  }
  const std::lock_guard lock(mutex_);
  if (kept_.size() <= record.number) kept_.resize(record.number + 1);
  kept_[record.number] = std::move(record);
  return {};
}

Result<BundleRecord> ChunkedRecords::Get(uint32_t number) const {
  if (journal_ != nullptr) return journal_->Get(number);
  CKPT_CHECK(number < kept_.size());
  return kept_[number];
}

Result<void> ChunkedRecords::ForEach(size_t count,
                                     const std::function<Result<void>(BundleRecord)>& take) const {
  if (journal_ != nullptr) {
    std::vector<uint32_t> numbers(count);
    std::iota(numbers.begin(), numbers.end(), 0U);
    return journal_->ForEach(numbers, take);
  }
  CKPT_CHECK(count <= kept_.size());
  for (size_t i = 0; i < count; ++i) CKPT_TRY_VOID(take(kept_[i]));
  return {};
}

CreateOptions OwnObject(const ChunkedPlan& plan) {
  return {.is_create_only = false, .temporary_folder = TemporaryFolder(plan.state_name)};
}

}  // namespace ckpt
