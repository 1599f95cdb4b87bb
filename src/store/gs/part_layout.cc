#include "store/gs/part_layout.h"

#include <algorithm>

#include "base/check.h"
#include "base/checked.h"

namespace ckpt::gs {
namespace {

constexpr uint64_t kLeastTarget = uint64_t{16} << 20;
constexpr uint64_t kUnit = 64;  // what is congruent to a segment's offsets stays so in its parts

// The segments, those that are too small for a part of their own joined to the next.
std::vector<ByteRange> JoinSegments(uint64_t size_bytes, std::span<const uint64_t> borders) {
  std::vector<ByteRange> segments;
  uint64_t begin = 0;
  uint64_t last = 0;
  for (const uint64_t border : borders) {
    CKPT_CHECK(last < border && border < size_bytes);
    last = border;
    if (border - begin < kLeastPartBytes) continue;
    segments.push_back({begin, border});
    begin = border;
  }
  if (begin < size_bytes) segments.push_back({begin, size_bytes});
  return segments;
}

uint64_t CountParts(std::span<const ByteRange> segments, uint64_t target_bytes) {
  uint64_t count = 0;
  for (const ByteRange& segment : segments) count += CeilDiv(segment.size(), target_bytes);
  return count;
}

// The one of these neighbours that holds `offset`.
size_t IndexOf(std::span<const ByteRange> ranges, uint64_t offset) {
  const auto after =
      std::upper_bound(ranges.begin(), ranges.end(), offset,
                       [](uint64_t at, const ByteRange& range) { return at < range.end; });
  CKPT_CHECK(after != ranges.end());
  return static_cast<size_t>(after - ranges.begin());
}

}  // namespace

size_t PartLayout::Find(uint64_t offset) const { return IndexOf(parts, offset); }

size_t PartLayout::FindCell(uint64_t offset) const { return IndexOf(cells, offset); }

PartLayout CutIntoParts(uint64_t size_bytes, std::span<const uint64_t> borders,
                        uint64_t part_bytes) {
  std::vector<ByteRange> segments = JoinSegments(size_bytes, borders);
  // Each segment has a part at least: too many of them are too small to be kept apart.
  if (segments.size() > kMostParts / 2) segments = {{0, size_bytes}};
  uint64_t target_bytes = std::max(kLeastTarget, part_bytes);
  while (CountParts(segments, target_bytes) > kMostParts) target_bytes += target_bytes / 8;

  PartLayout layout;
  for (const ByteRange& segment : segments) {
    const uint64_t count = CeilDiv(segment.size(), target_bytes);
    uint64_t begin = segment.begin;
    for (uint64_t i = 0; i < count; ++i) {
      const uint64_t left = segment.end - begin;
      const uint64_t size = std::min(left, RoundUp(left / (count - i), kUnit));
      layout.parts.push_back({begin, begin + size});
      layout.most_bytes = std::max(layout.most_bytes, size);
      begin += size;
    }
  }
  for (const ByteRange& part : layout.parts) {
    layout.first_cell.push_back(layout.cells.size());
    uint64_t begin = part.begin;
    for (auto border = std::upper_bound(borders.begin(), borders.end(), part.begin);
         border != borders.end() && *border < part.end; ++border) {
      layout.cells.push_back({begin, *border});
      begin = *border;
    }
    if (begin != part.begin) ++layout.straddling;
    layout.cells.push_back({begin, part.end});
  }
  layout.first_cell.push_back(layout.cells.size());
  return layout;
}

}  // namespace ckpt::gs
