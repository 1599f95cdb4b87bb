#include "run/compare.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "base/checked.h"
#include "store/ready.h"

namespace ckpt {

CompareWriter::CompareWriter(std::unique_ptr<ObjectReader> reader, MemoryBudget& budget,
                             std::function<std::string(uint64_t)> describe)
    : reader_(std::move(reader)), budget_(budget), describe_(std::move(describe)) {}

IoFuture CompareWriter::WriteAt(uint64_t offset, std::span<const std::byte> bytes) {
  return Ready(Compare(offset, bytes));
}

Result<void> CompareWriter::Compare(uint64_t offset, std::span<const std::byte> bytes) {
  CKPT_TRY(Grant grant, budget_.Acquire(kCompareStepBytes + 2 * kIoAlignment));
  CKPT_TRY(Buffer window, Buffer::Allocate(std::move(grant)));
  while (!bytes.empty()) {
    const size_t count = std::min<size_t>(bytes.size(), kCompareStepBytes);
    CKPT_TRY_VOID(reader_->ReadWindow({offset, offset + count}, window.span()).get());
    const std::byte* stored = window.data() + offset % kIoAlignment;
    if (std::memcmp(stored, bytes.data(), count) != 0) {
      const auto [ours, theirs] =
          std::mismatch(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(count), stored);
      const uint64_t at = offset + static_cast<uint64_t>(ours - bytes.begin());
      Error error{Code::kBadInput,
                  fmt::format("the output differs from what the source gives: byte {:#04x} is "
                              "stored, {:#04x} expected",
                              static_cast<unsigned>(*theirs), static_cast<unsigned>(*ours)),
                  {},
                  {},
                  "convert again; the output was changed, or made from another source or with "
                  "other settings"};
      error.where.push_back({"place", describe_(at)});
      error.where.push_back({"byte", fmt::format("{}", at)});
      error.where.push_back({"file", reader_->info().name});
      return Fail(std::move(error));
    }
    offset += count;
    bytes = bytes.subspan(count);
  }
  return {};
}

}  // namespace ckpt
