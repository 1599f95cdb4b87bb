#include "run/role_reader.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "base/index.h"
#include "base/units.h"
#include "kernel/convert.h"
#include "store/file/file_store.h"
#include "tests/store/temp_folder.h"

namespace ckpt {
namespace {

// A role of axes a, b, c (6, 4, 16) in a tensor of each kind of layout.
constexpr uint64_t kA = 6;
constexpr uint64_t kB = 4;
constexpr uint64_t kC = 16;

class RoleReaderTest : public testing::TestWithParam<DType> {
 protected:
  // A file of random bytes that is one tensor; its values as float32 by number.
  void MakeTensor(const Shape& shape) {
    const DType dtype = GetParam();
    std::mt19937 random(7);
    std::string bytes(*TensorBytes(dtype, shape), '\0');
    for (char& byte : bytes) byte = static_cast<char>(random() & 0x3fU);  // finite numbers
    store_ = *OpenFileStore(*Uri::Parse(folder_.path()), {.io_threads = 2});
    ASSERT_TRUE(WriteSmallObject(*store_, "weights", "head" + bytes, {}));
    catalog_.root = store_->root();
    catalog_.objects = {*store_->Stat("weights")};
    catalog_.tensors = {ContiguousEntry("w", dtype, shape, 0, {4, 4 + bytes.size()})};
    values_.resize(*shape.Elements());
    FindConvert(dtype, DType::kF32)(reinterpret_cast<const std::byte*>(bytes.data()),
                                    reinterpret_cast<std::byte*>(values_.data()), values_.size());
  }

  // Reads random boxes of the role and compares each element with the definition of a view.
  void CompareBoxes(const View& view) {
    BoundRole bound;
    bound.instance.axes = {{"a", kA}, {"b", kB}, {"c", kC}};
    bound.view = view;
    constexpr uint64_t buffer_bytes = 64 * kKiB;
    MemoryBudget budget(32 * kMiB);
    auto arena = Buffer::Allocate(*budget.Acquire(2 * buffer_bytes));
    ASSERT_TRUE(arena);
    ReaderPool pool(*store_, catalog_);
    RoleReader reader(catalog_, pool, budget, {},
                      {arena->span(0, buffer_bytes), arena->span(buffer_bytes, buffer_bytes)});
    const DType laid = LaidType(catalog_, bound);
    std::mt19937 random(11);
    for (int turn = 0; turn < 200; ++turn) {
      RoleBox box;
      for (const uint64_t extent : view.extents) {
        box.begin.push_back(random() % extent);
        box.end.push_back(box.begin.back() + 1 + random() % (extent - box.begin.back()));
      }
      ASSERT_TRUE(reader.Start(bound, box));
      const auto read = reader.Finish();
      ASSERT_TRUE(read) << read.error().Print();
      uint64_t number = 0;
      ForEachIndex(box.begin, box.end, [&](std::span<const uint64_t> at) {
        float value = 0;
        FindConvert(laid, DType::kF32)(*read + number++ * ElementBytes(laid),
                                       reinterpret_cast<std::byte*>(&value), 1);
        uint64_t element = view.offset;
        for (size_t k = 0; k < at.size(); ++k) element += at[k] * view.strides[k];
        ASSERT_EQ(value, values_[element]) << turn;
      });
    }
  }

  TempFolder folder_;
  std::shared_ptr<Store> store_;
  Catalog catalog_;
  std::vector<float> values_;
};

TEST_P(RoleReaderTest, ReadsWhatLiesAsTheRoleDoes) {
  MakeTensor({kA * kB, kC * 2});
  CompareBoxes({{kA * kB, kC * 2}, {kA, kB, kC}, {kB * kC * 2, kC * 2, 1}, 0});
}

TEST_P(RoleReaderTest, ReadsJoinedAxesInsideTheRow) {
  MakeTensor({kA, kB * kC});
  CompareBoxes({{kA, kB * kC}, {kA, kB, kC}, {kB * kC, kC, 1}, 0});
}

TEST_P(RoleReaderTest, ReadsAxesInAnotherOrder) {
  MakeTensor({kB * kA, kC * 2});  // rows b a; the second half of each
  CompareBoxes({{kB * kA, kC * 2}, {kA, kB, kC}, {kC * 2, kA * kC * 2, 1}, kC});
}

TEST_P(RoleReaderTest, ReadsATransposedTensor) {
  MakeTensor({kC, kB, 32});  // c b a, of 32 columns 6
  CompareBoxes({{kC, kB, 32}, {kA, kB, kC}, {1, 32, kB * 32}, 3});
}

INSTANTIATE_TEST_SUITE_P(Types, RoleReaderTest,
                         testing::Values(DType::kBF16, DType::kF32, DType::kF64, DType::kF8E4M3,
                                         DType::kQ8_0, DType::kQ4_1),
                         [](const auto& type) { return std::string(Name(type.param)); });

}  // namespace
}  // namespace ckpt
