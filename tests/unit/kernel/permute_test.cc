#include <algorithm>
#include <numeric>

#include "kernel/transpose.h"
#include "tests/unit/kernel/kernel_test.h"

namespace ckpt {
namespace {

class Permute : public KernelTest {};
CKPT_FOR_EACH_TARGET(Permute);

// The definition: one element at a time, by recursion over the axes.
void CopyByDefinition(const std::byte* src, std::byte* dst, std::span<const StridedAxis> axes,
                      uint32_t element) {
  if (axes.empty()) {
    std::memcpy(dst, src, element);
    return;
  }
  for (uint64_t i = 0; i < axes[0].extent; ++i) {
    const auto k = static_cast<int64_t>(i);
    CopyByDefinition(src + k * axes[0].src_stride, dst + k * axes[0].dst_stride, axes.subspan(1),
                     element);
  }
}

void ExpectByDefinition(const std::vector<StridedAxis>& axes, uint32_t element, size_t src_bytes,
                        size_t dst_bytes, std::mt19937& random) {
  const Guarded src = RandomBytes(src_bytes, random, random() % 3);
  Guarded dst(dst_bytes, random() % 2 * 5);
  Guarded expected(dst_bytes);
  PermuteCopy(src.data(), dst.data(), axes, element);
  CopyByDefinition(src.data(), expected.data(), axes, element);
  EXPECT_TRUE(dst == expected && dst.IsIntact());
}

// Axes of a C-order source in the order given, and of a C-order output in `order`.
std::vector<StridedAxis> MakeAxes(const std::vector<uint64_t>& extents,
                                  const std::vector<size_t>& order, uint32_t element) {
  std::vector<StridedAxis> axes(extents.size());
  int64_t stride = element;
  for (size_t i = extents.size(); i-- > 0;) {
    axes[i].extent = extents[i];
    axes[i].src_stride = std::exchange(stride, stride * static_cast<int64_t>(extents[i]));
  }
  stride = element;
  for (size_t i = order.size(); i-- > 0;)
    axes[order[i]].dst_stride =
        std::exchange(stride, stride * static_cast<int64_t>(extents[order[i]]));
  return axes;
}
size_t Bytes(const std::vector<uint64_t>& extents, uint32_t element) {
  return std::accumulate(extents.begin(), extents.end(), size_t{element}, std::multiplies<>());
}
void ExpectOrder(const std::vector<uint64_t>& extents, const std::vector<size_t>& order,
                 uint32_t element, std::mt19937& random) {
  SCOPED_TRACE(::testing::PrintToString(extents) + " in order " + ::testing::PrintToString(order) +
               " of " + std::to_string(element));
  std::vector<StridedAxis> axes = MakeAxes(extents, order, element);
  std::shuffle(axes.begin(), axes.end(), random);
  ExpectByDefinition(axes, element, Bytes(extents, element), Bytes(extents, element), random);
}

TEST_P(Permute, RandomShapesInRandomOrders) {
  std::mt19937 random(1);
  for (int i = 0; i < 200; ++i) {
    std::vector<uint64_t> extents(random() % 5);
    for (uint64_t& extent : extents) extent = 1 + random() % 12;
    std::vector<size_t> order(extents.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::shuffle(order.begin(), order.end(), random);
    ExpectOrder(extents, order, 1U << random() % 4, random);
  }
}

TEST_P(Permute, WeightsAsModelsHaveThem) {
  std::mt19937 random(2);
  ExpectOrder({48, 65}, {1, 0}, 2, random);              // a plain transpose
  ExpectOrder({4, 2, 16, 40}, {3, 0, 2, 1}, 2, random);  // (h p t) e -> e h (t p)
  ExpectOrder({4, 2, 16, 40}, {0, 2, 1, 3}, 2, random);  // rotary pairs of whole rows
  ExpectOrder({3, 20, 30}, {0, 2, 1}, 2, random);        // experts, each transposed
  ExpectOrder({300, 9}, {1, 0}, 4, random);              // more rows than one batch of pointers
  ExpectOrder({40, 50, 2}, {1, 0, 2}, 2, random);        // pairs of bf16 as one element of 4 bytes
  ExpectOrder({40, 50, 3}, {1, 0, 2}, 2, random);        // runs of 6 bytes
  ExpectOrder({30, 40}, {1, 0}, 8, random);
  ExpectOrder({7, 5, 6}, {0, 1, 2}, 4, random);  // one run
}

TEST_P(Permute, GapsBroadcastsAndReversals) {
  std::mt19937 random(3);
  std::vector<StridedAxis> axes = {{.extent = 20, .src_stride = 2, .dst_stride = 100},
                                   {.extent = 30, .src_stride = 64, .dst_stride = 2}};
  ExpectByDefinition(axes, 2, 2000, 2000, random);
  // Rows without gaps in the source, with gaps in the output: no single run. And the other way
  // round.
  ExpectByDefinition({{20, 64, 100}, {32, 2, 2}}, 2, 1280, 2000, random);
  ExpectByDefinition({{20, 100, 64}, {32, 2, 2}}, 2, 2000, 1280, random);
  axes[1].src_stride = 0;
  ExpectByDefinition(axes, 2, 40, 2000, random);
  // Backwards through the source: the first element is the last row's.
  axes[1] = {.extent = 30, .src_stride = -64, .dst_stride = 2};
  const Guarded src = RandomBytes(2000, random);
  const std::byte* last = src.data() + ptrdiff_t{29} * 64;
  Guarded dst(2000);
  Guarded expected(2000);
  PermuteCopy(last, dst.data(), axes, 2);
  CopyByDefinition(last, expected.data(), axes, 2);
  EXPECT_TRUE(dst == expected && dst.IsIntact());
}

TEST_P(Permute, NothingForAnEmptyAxisAndOneElementForNone) {
  std::mt19937 random(4);
  const Guarded src = RandomBytes(8, random);
  Guarded dst(8);
  const Guarded untouched = dst;
  PermuteCopy(src.data(), dst.data(), std::vector<StridedAxis>{{5, 2, 2}, {0, 2, 2}}, 2);
  EXPECT_TRUE(dst == untouched);
  PermuteCopy(src.data(), dst.data(), {}, 8);
  EXPECT_TRUE(dst == src);
  TransposeRows(nullptr, 0, 0, 2, nullptr, 0);  // so that every case dispatches
  (void)FindConvert(DType::kF32, DType::kBF16);
}

}  // namespace
}  // namespace ckpt
