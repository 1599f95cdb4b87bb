#include "plan/grid.h"

#include <algorithm>

#include "base/units.h"

namespace ckpt {
namespace {

constexpr uint64_t kCountedBytes = 2;  // an element, whatever the dtype
constexpr uint64_t kLeastChunk = kMiB;
constexpr uint64_t kMostChunk = 4 * kMiB;
constexpr uint64_t kBandBytes = 16 * kMiB;

struct SliceAxis {
  size_t index;  // in the array
  std::string name;
  uint64_t extent;
  uint64_t mesh;  // devices that still cut it
  uint64_t chunk = 0;
};

uint64_t SmallestPrimeFactor(uint64_t n) {
  for (uint64_t i = 2; i * i <= n; ++i) {
    if (n % i == 0) return i;
  }
  return n;
}

uint64_t LargestDivisorUpTo(uint64_t n, uint64_t most) {
  for (uint64_t k = std::min(n, most); k > 1; --k) {
    if (n % k == 0) return k;
  }
  return 1;
}

uint64_t ChunkBytes(const std::vector<SliceAxis>& slice) {
  uint64_t bytes = kCountedBytes;
  for (const SliceAxis& axis : slice) bytes *= axis.chunk;
  return bytes;
}

// The outermost hf axis that belongs to the slice; without one, the slice's first axis.
size_t FindBand(const std::vector<SliceAxis>& slice, std::span<const std::string> hf_order) {
  for (const std::string& name : hf_order) {
    for (size_t i = 0; i < slice.size(); ++i) {
      if (slice[i].name == name) return i;
    }
  }
  return 0;
}

void CutBand(SliceAxis& band, uint64_t fit) {
  if (band.chunk <= fit) return;
  const uint64_t divisor = LargestDivisorUpTo(band.chunk, fit);
  if (2 * divisor >= fit || band.mesh > 1) {
    band.chunk = divisor;
    return;
  }
  uint64_t power = 1;  // a padded edge beats crumbs
  while (power * 2 <= fit) power *= 2;
  band.chunk = power;
}

// Halves (or thirds, ...) the largest other axis until the chunk is small enough, but never below
// the least chunk.
void CutOthers(std::vector<SliceAxis>& slice, size_t band) {
  while (ChunkBytes(slice) > kMostChunk) {
    SliceAxis* largest = nullptr;
    for (size_t i = 0; i < slice.size(); ++i) {
      if (i == band || slice[i].name == "d") continue;
      if (largest == nullptr || slice[i].chunk > largest->chunk) largest = &slice[i];
    }
    if (largest == nullptr || largest->chunk <= 1) return;
    const uint64_t prime = SmallestPrimeFactor(largest->chunk);
    if (ChunkBytes(slice) / prime < kLeastChunk) return;
    largest->chunk /= prime;
  }
}

std::vector<SliceAxis> Slice(std::span<const Axis> axes, const Mesh& mesh) {
  size_t others = 0;
  for (const Axis& axis : axes) others += axis.name != "l" && axis.name != "x" ? 1 : 0;
  std::vector<SliceAxis> slice;
  for (size_t i = 0; i < axes.size(); ++i) {
    const Axis& axis = axes[i];
    if (axis.name == "l" || (axis.name == "x" && others >= 2)) continue;
    const auto cut = mesh.find(axis.name);
    const uint64_t devices =
        cut == mesh.end() || axis.name == "d" || axis.extent % cut->second != 0 ? 1 : cut->second;
    slice.push_back({i, axis.name, axis.extent, devices});
  }
  return slice;
}

}  // namespace

std::vector<uint64_t> ChunkGrid(std::span<const Axis> axes, std::span<const std::string> hf_order,
                                const Mesh& mesh) {
  std::vector<uint64_t> grid(axes.size(), 1);
  std::vector<SliceAxis> slice = Slice(axes, mesh);
  uint64_t slice_bytes = kCountedBytes;
  for (const SliceAxis& axis : slice) slice_bytes *= axis.extent;
  if (slice_bytes < kLeastChunk || slice.empty()) {
    for (const SliceAxis& axis : slice) grid[axis.index] = axis.extent;
    return grid;
  }
  const size_t band = FindBand(slice, hf_order);
  const uint64_t unit_bytes = slice_bytes / slice[band].extent;
  const uint64_t fit = std::max<uint64_t>(1, kBandBytes / unit_bytes);
  while (true) {
    for (SliceAxis& axis : slice) axis.chunk = axis.extent / axis.mesh;
    CutBand(slice[band], fit);
    CutOthers(slice, band);
    SliceAxis* most_cut = nullptr;
    for (SliceAxis& axis : slice) {
      if (axis.mesh > 1 && (most_cut == nullptr || axis.mesh > most_cut->mesh)) most_cut = &axis;
    }
    if (ChunkBytes(slice) >= kLeastChunk || most_cut == nullptr) break;
    most_cut->mesh /= SmallestPrimeFactor(most_cut->mesh);  // the mesh makes crumbs: loosen it
  }
  for (const SliceAxis& axis : slice) grid[axis.index] = axis.chunk;
  return grid;
}

uint64_t BandExtent(std::span<const Axis> axes) {
  if (axes.empty()) return 1;
  std::vector<std::string> order;
  for (const Axis& axis : axes) order.push_back(axis.name);
  // The slice drops an expert axis, whose bands are then single experts.
  return ChunkGrid(axes, order, {}).front();
}

}  // namespace ckpt
