#include "source/digest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/message_digest.h"
#include "source/open.h"
#include "tests/unit/format/error_of.h"
#include "tests/unit/source/make_files.h"
#include "tests/unit/source/memory_store.h"

namespace ckpt {
namespace {

using ::testing::HasSubstr;

constexpr uint64_t kBuffer = 64ULL * 1024;

// A store with one file of one tensor "t" of `size` bytes that lies `shift` bytes into the file.
struct OneTensor {
  OneTensor(uint64_t size, uint64_t shift, DType dtype = DType::kU8) {
    for (uint64_t i = 0; i < size; ++i)
      bytes += static_cast<char>(static_cast<unsigned char>(i * 31 % 251));
    store.Put("f", std::string(shift, 'x') + bytes + "tail");
    catalog.root = store.root();
    catalog.objects = {*store.Stat("f")};
    const DTypeInfo& info = Info(dtype);
    catalog.tensors = {ContiguousEntry("t", dtype, {size / info.block_bytes * info.block_elements},
                                       0, {shift, shift + size})};
  }
  MemoryStore store;
  Catalog catalog;
  std::string bytes;
};

TEST(TensorStream, HashesTheTensorsBytesWhereverTheyLie) {
  MemoryBudget budget(64 << 20);
  for (const uint64_t size :
       std::initializer_list<uint64_t>{0, 1, 4096, 100001, kBuffer, 2 * kBuffer + 7}) {
    for (const uint64_t shift : {0U, 4095U, 4097U}) {
      OneTensor one(size, shift);
      EXPECT_EQ(
          TensorStream(one.store, one.catalog, budget, kBuffer).Sha256(one.catalog.tensors[0]),
          Sha256Hex(one.bytes))
          << size << " " << shift;
    }
  }
  EXPECT_EQ(budget.used_bytes(), 0U);
}

TEST(TensorStream, GivesChunksOfWholeBlocks) {
  OneTensor one(34ULL * 4000, 100, DType::kQ8_0);
  MemoryBudget budget(64 << 20);
  std::string seen;
  size_t chunks = 0;
  TensorStream stream(one.store, one.catalog, budget, kBuffer);
  ASSERT_TRUE(stream.ForEachChunk(
      one.catalog.tensors[0], [&](std::span<const std::byte> bytes) -> Result<void> {
        EXPECT_EQ(bytes.size() % 34, 0U);
        seen.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
        ++chunks;
        return {};
      }));
  EXPECT_EQ(chunks, 3U);
  EXPECT_EQ(seen, one.bytes);
}

TEST(TensorStream, StaysWithinTwoBuffers) {
  OneTensor one(5 * kBuffer, 0);
  MemoryBudget budget(64 << 20);
  ASSERT_TRUE(TensorStream(one.store, one.catalog, budget, kBuffer).Sha256(one.catalog.tensors[0]));
  EXPECT_LE(budget.peak_bytes(), 2 * kBuffer);
}

TEST(TensorStream, SaysWhenTheBudgetHasNoRoom) {
  OneTensor one(1 << 20, 0);
  MemoryBudget budget(1 << 20);
  EXPECT_EQ(TensorSha256(one.store, one.catalog, one.catalog.tensors[0], budget).error().code,
            Code::kResources);
}

TEST(TensorStream, EndsWithTheVisitorsErrorAndItsPlace) {
  OneTensor one(100, 0);
  MemoryBudget budget(1 << 20);
  TensorStream stream(one.store, one.catalog, budget);
  const auto streamed = stream.ForEachChunk(
      one.catalog.tensors[0],
      [](std::span<const std::byte>) -> Result<void> { return Fail(Code::kIo, "enough"); });
  EXPECT_THAT(ErrorText(streamed), HasSubstr("enough"));
  EXPECT_EQ(PlaceOf(streamed, "tensor"), "t");
  EXPECT_EQ(PlaceOf(streamed, "file"), "/memory/f");
}

TEST(TensorStream, RefusesAnObjectThatWasReplaced) {
  OneTensor one(100, 0);
  one.store.Put("f", "other");
  MemoryBudget budget(1 << 20);
  EXPECT_EQ(TensorSha256(one.store, one.catalog, one.catalog.tensors[0], budget).error().code,
            Code::kBadInput);
}

}  // namespace
}  // namespace ckpt
