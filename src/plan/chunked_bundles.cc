#include "plan/chunked_bundles.h"

#include <algorithm>

namespace ckpt {
namespace {

class Cutter {
 public:
  explicit Cutter(ChunkedPlan& plan) : plan_(plan) {}

  // Bands of one role that stay together.
  void Add(const BandSpan& span, const std::vector<uint64_t>& band_bytes) {
    const uint64_t bands = span.band_end - span.band_begin;
    bool is_full = plan_.bundles.empty();
    for (size_t o = 0; !is_full && o < band_bytes.size(); ++o)
      is_full = plan_.bundles.back().file_bytes[o] + bands * band_bytes[o] > plan_.bundle_bytes;
    if (is_full) {
      const auto number = static_cast<uint32_t>(plan_.bundles.size() + 1);
      plan_.bundles.push_back({number, {}, std::vector<uint64_t>(band_bytes.size())});
    }
    ChunkedBundle& bundle = plan_.bundles.back();
    for (size_t o = 0; o < band_bytes.size(); ++o) bundle.file_bytes[o] += bands * band_bytes[o];
    if (!bundle.spans.empty() && bundle.spans.back().work == span.work &&
        bundle.spans.back().band_end == span.band_begin) {
      bundle.spans.back().band_end = span.band_end;
    } else {
      bundle.spans.push_back(span);
    }
  }

 private:
  ChunkedPlan& plan_;
};

}  // namespace

void CutChunkedBundles(ChunkedPlan& plan) {
  Cutter cutter(plan);
  for (size_t w = 0; w < plan.works.size(); ++w) {
    const RoleWork& work = plan.works[w];
    std::vector<uint64_t> band_bytes;
    uint64_t largest = 0;
    for (size_t o = 0; o < plan.outputs.size(); ++o) {
      band_bytes.push_back(BandFileBytes(work, o));
      largest = std::max(largest, band_bytes.back());
    }
    const bool is_whole = largest * work.bands <= plan.bundle_bytes;
    const uint64_t step = is_whole ? work.bands : 1;
    for (uint64_t expert = 0; expert < work.experts; ++expert) {
      for (uint64_t band = 0; band < work.bands; band += step) {
        const uint64_t first = expert * work.bands + band;
        cutter.Add({w, first, first + step}, band_bytes);
      }
    }
  }
}

}  // namespace ckpt
