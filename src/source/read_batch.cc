#include "source/read_batch.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/checked.h"

namespace ckpt {

// A range may begin and end inside a block of the store's alignment.
uint64_t ReadBatch::Need(uint64_t bytes) { return RoundUp(bytes, kIoAlignment) + kIoAlignment; }

bool ReadBatch::Add(uint32_t object, ByteRange range, uint64_t tag) {
  const uint64_t need = Need(range.size());
  if (need > window_.size() - needed_bytes_) return false;
  needed_bytes_ += need;
  ranges_.push_back({object, range, tag});
  return true;
}

std::vector<ReadBatch::Request> ReadBatch::Merge() {
  std::sort(ranges_.begin(), ranges_.end(), [](const Part& a, const Part& b) {
    if (a.object != b.object) return a.object < b.object;
    return a.range.begin != b.range.begin ? a.range.begin < b.range.begin
                                          : a.range.end < b.range.end;
  });
  std::vector<Request> requests;
  uint64_t spare = window_.size() - needed_bytes_;  // what gaps may take
  for (size_t i = 0; i < ranges_.size(); ++i) {
    const Part& part = ranges_[i];
    if (!requests.empty() && ranges_[i - 1].object == part.object) {
      Request& last = requests.back();
      const uint64_t end = std::max(last.range.end, part.range.end);
      const uint64_t gap =
          part.range.begin > last.range.end ? part.range.begin - last.range.end : 0;
      if (gap <= std::min(kMergeGapBytes, spare) && end - last.range.begin <= kMergeMostBytes) {
        spare -= gap;
        last.range.end = end;
        ++last.count;
        continue;
      }
    }
    requests.push_back({i, 1, part.range, {}, nullptr, {}});
  }
  uint64_t used = 0;
  for (Request& request : requests) {
    const uint64_t size = AlignOutward(request.range, kIoAlignment).size();
    CKPT_CHECK(size <= window_.size() - used);
    request.window = window_.subspan(used, size);
    used += size;
  }
  return requests;
}

Result<void> ReadBatch::Read(std::vector<Request>& requests) {
  Result<void> result;
  for (Request& request : requests) {
    auto reader = open_(ranges_[request.first].object);
    if (!reader) {
      result = Fail(std::move(reader).error());
      break;
    }
    request.reader = *std::move(reader);
    request.done = request.reader->ReadWindow(request.range, request.window);
    requested_bytes_ += request.range.size();
  }
  // Every read that was begun is waited for, whatever fails: it writes to our window.
  for (Request& request : requests) {
    if (!request.done.valid()) continue;
    Result<void> done = request.done.get();
    if (!done && result) result = std::move(done);
  }
  return result;
}

Result<void> ReadBatch::Run(const Visit& visit) {
  std::vector<Request> requests = Merge();
  Result<void> result = Read(requests);
  for (const Request& request : requests) {
    const uint64_t window_begin = RoundDown(request.range.begin, kIoAlignment);
    for (size_t i = request.first; result && i < request.first + request.count; ++i) {
      const Part& part = ranges_[i];
      result = visit(part.tag,
                     request.window.subspan(part.range.begin - window_begin, part.range.size()));
    }
  }
  ranges_.clear();
  needed_bytes_ = 0;
  return result;
}

}  // namespace ckpt
