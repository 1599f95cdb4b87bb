#include "run/record_reader.h"

#include <algorithm>
#include <utility>

namespace ckpt {

void RecordReader::Expect(std::vector<uint32_t> numbers) {
  expected_ = std::move(numbers);
  next_ = 0;
}

Result<const BundleRecord*> RecordReader::Get(uint32_t number) {
  if (const auto found = read_.find(number); found != read_.end()) return &found->second;
  read_.clear();
  std::vector<uint32_t> batch{number};
  const auto begin = expected_.begin() + static_cast<std::ptrdiff_t>(next_);
  if (const auto at = std::find(begin, expected_.end(), number); at != expected_.end()) {
    next_ = static_cast<size_t>(at - expected_.begin());
    for (size_t i = next_; i < expected_.size() && batch.size() < journal_.readers(); ++i) {
      if (std::find(batch.begin(), batch.end(), expected_[i]) == batch.end())
        batch.push_back(expected_[i]);
    }
  }
  CKPT_TRY_VOID(journal_.ForEach(batch, [&](BundleRecord record) -> Result<void> {
    const uint32_t its_number = record.number;
    read_.emplace(its_number, std::move(record));
    return {};
  }));
  return &read_.at(number);
}

}  // namespace ckpt
