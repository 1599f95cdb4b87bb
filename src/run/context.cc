#include "run/context.h"

#include <algorithm>

namespace ckpt {

Result<void> RecordSink::Finish(BundleRecord record) {
  if (journal_ != nullptr) {
    CKPT_TRY_VOID(writer_.Settle({}));
    CKPT_TRY_VOID(journal_->Put(record));
  } else {
    for (const SideValue& side : record.sides)
      CKPT_TRY_VOID(writer_.WriteAt(side.file_offset, side.bytes).get());
  }
  AddParts(record.parts);
  return {};
}

void RecordSink::AddParts(std::span<const ArrayPart> parts) {
  const std::lock_guard lock(mutex_);
  parts_.insert(parts_.end(), parts.begin(), parts.end());
}

std::vector<ArrayPart> RecordSink::TakeParts() {
  std::sort(parts_.begin(), parts_.end(), [](const ArrayPart& a, const ArrayPart& b) {
    return a.array != b.array ? a.array < b.array : a.offset_bytes < b.offset_bytes;
  });
  return std::move(parts_);
}

}  // namespace ckpt
