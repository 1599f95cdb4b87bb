#include "run/context.h"

#include <algorithm>

namespace ckpt {

void RecordSink::Begin(const Bundle& bundle) {
  if (log_ != nullptr) log_->Begin(bundle.number);
}

void RecordSink::StartChecks() {
  (void)checks_.Take();  // of a statistic: the bundle reads it all again
}

Result<void> RecordSink::Finish(const Bundle& bundle, BundleRecord record, PlacedFile file) {
  record.checks = checks_.Take();
  if (journal_ == nullptr) {
    for (const SideValue& side : record.sides)
      CKPT_TRY_VOID(file.writer->WriteAt(side.file_offset - file.base, side.bytes).get());
    checks_.Keep(record.checks);
    AddParts(record.parts);
    return {};
  }
  if (bundle.number != 0) {
    const ByteRange& segment = bundle.segment;
    CKPT_TRY(record.receipt,
             file.writer->Settle({segment.begin - file.base, segment.end - file.base}));
  }
  CKPT_TRY_VOID(journal_->Put(record));
  if (log_ != nullptr) log_->Done(bundle.number);
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
