#include "run/chunked_context.h"

#include "base/check.h"

namespace ckpt {

Result<void> ChunkedRecords::Put(BundleRecord record) {
  if (journal_ != nullptr) return journal_->Put(record);
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

}  // namespace ckpt
