#include "source/box_reader.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <thread>

#include "base/units.h"
#include "source/box_runs.h"
#include "source/open.h"
#include "source/reader_pool.h"
#include "tests/unit/format/error_of.h"
#include "tests/unit/source/orbax_builder.h"
#include "tests/unit/source/pack_chunk.h"

namespace ckpt {
namespace {

using ::testing::HasSubstr;

// How the chunks of a test are stored.
enum class Storage { kPlain, kCrc, kZstd, kZstdCrc, kShard, kShardZstd };

// A tensor of known elements in a store, in chunks of any storage.
class Stored {
 public:
  Stored(Storage storage, DType dtype, Shape shape, Shape chunk, Shape inner = {},
         uint64_t inline_bytes = 16)
      : meta_(MakeZarrMeta(ZarrForm::kV3, dtype, std::move(shape), std::move(chunk))) {
    ZarrCodecs codecs;
    if (storage == Storage::kZstd || storage == Storage::kZstdCrc || storage == Storage::kShardZstd)
      codecs.compression = Compression::kZstd;
    codecs.has_crc32c = storage == Storage::kCrc || storage == Storage::kZstdCrc;
    if (storage == Storage::kShard || storage == Storage::kShardZstd)
      meta_.sharding = ZarrSharding{std::move(inner), codecs, true, true};
    else
      meta_.codecs = codecs;
    elements_ = Counting(*TensorBytes(dtype, meta_.shape));
    OrbaxBuilder builder;
    builder.Array("w", meta_);
    for (uint64_t number = 0; number < *ZarrGrid(meta_).Elements(); ++number) {
      chunks.push_back(Encode(number));
      builder.Chunk("w", meta_, number, chunks.back());
    }
    builder.PutDatabase(*store, "", inline_bytes);
  }

  Result<Catalog> Open(MemoryBudget& budget) { return OpenSource({store, ""}, budget); }

  // The elements of a box, straight from the whole tensor.
  std::string Expected(const Box& box) const {
    return PartOf(meta_.dtype, meta_.shape, elements_, box);
  }

  const ZarrArrayMeta& meta() const { return meta_; }
  std::shared_ptr<MemoryStore> store = std::make_shared<MemoryStore>();
  std::vector<std::string> chunks;  // as stored, in C order

 private:
  std::string Encode(uint64_t number) const {
    const std::string chunk =
        PartOf(meta_.dtype, meta_.shape, elements_, CellOf(ZarrGrid(meta_), meta_.chunk, number));
    if (!meta_.sharding) return PackElements(meta_.codecs, chunk);
    const Shape grid = InnerGrid(meta_);
    std::vector<std::string> inner;
    for (uint64_t i = 0; i < *grid.Elements(); ++i)
      inner.push_back(PackElements(
          meta_.sharding->codecs,
          PartOf(meta_.dtype, meta_.chunk, chunk, CellOf(grid, meta_.sharding->inner, i))));
    return PackShard(inner);
  }

  ZarrArrayMeta meta_;
  std::string elements_;
};

// What a box reads as, or the error.
std::string ReadBox(Stored& stored, const Box& box, uint64_t budget_bytes = 64 * kMiB) {
  MemoryBudget budget(budget_bytes);
  const auto catalog = stored.Open(budget);
  if (!catalog) return catalog.error().Print();
  ReaderPool pool(*stored.store, *catalog);
  std::string out(BoxBytes(stored.meta().dtype, box), '?');
  {
    BoxReader reader(pool.Opener(), budget);
    const auto read = reader.Read(catalog->tensors[0], box, std::as_writable_bytes(std::span(out)));
    if (!read) return read.error().Print();
  }
  EXPECT_EQ(budget.used_bytes(), 0U);
  EXPECT_LE(budget.peak_bytes(), budget_bytes);
  return out;
}

TEST(BoxReader, ReadsAnyBoxOfAnyStorage) {
  std::mt19937 random(11);
  for (const Storage storage : {Storage::kPlain, Storage::kCrc, Storage::kZstd, Storage::kZstdCrc,
                                Storage::kShard, Storage::kShardZstd}) {
    Stored stored(storage, DType::kBF16, {7, 5, 9}, {4, 2, 6}, {2, 1, 3});
    for (int round = 0; round < 40; ++round) {
      Box box;
      for (const uint64_t extent : stored.meta().shape.extents) {
        box.begin.push_back(random() % extent);
        box.end.push_back(box.begin.back() + 1 + random() % (extent - box.begin.back()));
      }
      ASSERT_EQ(ReadBox(stored, box), stored.Expected(box)) << static_cast<int>(storage);
    }
  }
}

TEST(BoxReader, ReadsScalarsAndInlineChunks) {
  for (const Storage storage : {Storage::kPlain, Storage::kCrc, Storage::kZstd, Storage::kShard}) {
    Stored scalar(storage, DType::kI64, {}, {});
    EXPECT_EQ(ReadBox(scalar, {}), Counting(8));
    Stored inlined(storage, DType::kU8, {6}, {4}, {2}, 1000);
    EXPECT_EQ(ReadBox(inlined, {{1}, {6}}), Counting(5, 1));
  }
}

TEST(BoxReader, ReadsNothingForAnEmptyBox) {
  Stored stored(Storage::kCrc, DType::kU8, {6}, {4});
  EXPECT_EQ(ReadBox(stored, {{3}, {3}}), "");
}

TEST(BoxReader, FetchesOnlyChunksThatMeetTheBox) {
  Stored stored(Storage::kPlain, DType::kU8, {4, 300000}, {1, 300000});
  MemoryBudget budget(64 * kMiB);
  const auto catalog = stored.Open(budget);
  ASSERT_TRUE(catalog) << ErrorText(catalog);
  ReaderPool pool(*stored.store, *catalog);
  BoxReader reader(pool.Opener(), budget);
  std::string out(10, '?');
  ASSERT_TRUE(
      reader.Read(catalog->tensors[0], {{2, 5}, {3, 15}}, std::as_writable_bytes(std::span(out))));
  EXPECT_EQ(out, Counting(10, 600005));
  EXPECT_EQ(reader.requested_bytes(), 300000U);
}

TEST(BoxReader, MergesNeighboursIntoOneRead) {
  Stored stored(Storage::kCrc, DType::kU8, {64, 1000}, {1, 1000});
  MemoryBudget budget(64 * kMiB);
  const auto catalog = stored.Open(budget);
  ASSERT_TRUE(catalog) << ErrorText(catalog);
  ReaderPool pool(*stored.store, *catalog);
  BoxReader reader(pool.Opener(), budget);
  std::string out(64000, '?');
  const uint64_t before = stored.store->reads();
  // "c/9/0" lies behind "c/63/0" in the file: the order is that of keys.
  ASSERT_TRUE(reader.Read(catalog->tensors[0], {{0, 0}, {64, 1000}},
                          std::as_writable_bytes(std::span(out))));
  EXPECT_EQ(out, Counting(64000));
  EXPECT_EQ(stored.store->reads() - before, 1U);
}

// Chunks of over 4 MiB in a budget that gives a window of 4 MiB.
TEST(BoxReader, PassesLargeChunksAsAStream) {
  for (const Storage storage : {Storage::kPlain, Storage::kCrc, Storage::kZstd, Storage::kZstdCrc,
                                Storage::kShard, Storage::kShardZstd}) {
    SCOPED_TRACE(static_cast<int>(storage));
    Stored stored(storage, DType::kU8, {3, 1300, 1700}, {2, 1250, 1700}, {2, 1250, 1700});
    for (const Box& box : {Box{{0, 0, 0}, {3, 1300, 1700}}, Box{{1, 1200, 10}, {3, 1260, 1690}},
                           Box{{0, 7, 3}, {1, 8, 5}}})
      EXPECT_EQ(ReadBox(stored, box, 7 * kMiB) == stored.Expected(box), true);
  }
}

TEST(BoxReader, ReadsOnlyWhatIsNeededOfALargePlainChunk) {
  Stored stored(Storage::kCrc, DType::kU8, {3000, 2000}, {3000, 2000});
  MemoryBudget budget(7 * kMiB);
  const auto catalog = stored.Open(budget);
  ASSERT_TRUE(catalog) << ErrorText(catalog);
  ReaderPool pool(*stored.store, *catalog);
  BoxReader reader(pool.Opener(), budget);
  std::string out(6000, '?');
  ASSERT_TRUE(reader.Read(catalog->tensors[0], {{2500, 0}, {2503, 2000}},
                          std::as_writable_bytes(std::span(out))));
  EXPECT_EQ(out, Counting(6000, 5000000));
  EXPECT_EQ(reader.requested_bytes(), 6000U);
}

TEST(BoxReader, ReadsOnlyTheInnerChunksThatMeetTheBox) {
  Stored stored(Storage::kShard, DType::kU8, {2000, 2000}, {2000, 2000}, {100, 2000});
  MemoryBudget budget(64 * kMiB);
  const auto catalog = stored.Open(budget);
  ASSERT_TRUE(catalog) << ErrorText(catalog);
  ReaderPool pool(*stored.store, *catalog);
  BoxReader reader(pool.Opener(), budget);
  std::string out(4000, '?');
  ASSERT_TRUE(reader.Read(catalog->tensors[0], {{1000, 0}, {1002, 2000}},
                          std::as_writable_bytes(std::span(out))));
  EXPECT_EQ(out, Counting(4000, 2000000));
  EXPECT_EQ(reader.requested_bytes(), 20U * 16 + 4 + 200000);
}

TEST(BoxReader, NamesTheChunkThatIsDamaged) {
  for (const bool is_large : {false, true}) {
    for (const Storage storage : {Storage::kCrc, Storage::kZstd, Storage::kZstdCrc}) {
      SCOPED_TRACE(fmt::format("{} {}", is_large, static_cast<int>(storage)));
      const uint64_t rows = is_large ? 2200 : 10;
      Stored stored(storage, DType::kU8, {2 * rows, 2000}, {rows, 2000});
      std::string data = stored.store->Get("d/data");
      const size_t second = stored.chunks[0].size();            // in the order of keys
      char& last = data[second + stored.chunks[1].size() - 1];  // of a checksum, so never harmless
      last = static_cast<char>(last ^ 1);
      stored.store->Put("d/data", data);
      const std::string error =
          ReadBox(stored, {{0, 0}, {2 * rows, 2000}}, is_large ? 7 * kMiB : 64 * kMiB);
      EXPECT_THAT(error, HasSubstr("exit 65"));
      EXPECT_THAT(error, HasSubstr("key     c/1/0"));
      EXPECT_THAT(error, HasSubstr(fmt::format("byte    {}", second)));
      EXPECT_THAT(error, HasSubstr("file    d/data"));
      EXPECT_THAT(error, HasSubstr("tensor  params/w"));
    }
  }
}

TEST(BoxReader, GivesAnAbsentChunkAsTheFillValue) {
  OrbaxBuilder builder;
  ZarrArrayMeta meta = MakeZarrMeta(ZarrForm::kV2, DType::kI16, {4}, {2});
  builder.metadata.stores_fill_chunks = false;
  builder.Array("w", meta).Chunk("w", meta, 1, "abcd");
  std::string& json = builder.values["params.w/.zarray"];
  json.replace(json.find("\"fill_value\":null"), 17, "\"fill_value\":258");
  auto store = std::make_shared<MemoryStore>();
  builder.PutFiles(*store, "");
  MemoryBudget budget(64 * kMiB);
  const auto catalog = OpenSource({store, ""}, budget);
  ASSERT_TRUE(catalog) << ErrorText(catalog);
  EXPECT_THAT(catalog->warnings, ::testing::ElementsAre(HasSubstr("1 of 2 chunks are not stored")));
  ReaderPool pool(*store, *catalog);
  BoxReader reader(pool.Opener(), budget);
  std::string out(8, '?');
  ASSERT_TRUE(reader.Read(catalog->tensors[0], {{0}, {4}}, std::as_writable_bytes(std::span(out))));
  EXPECT_EQ(out, std::string("\2\1\2\1abcd"));
  const auto crc = reader.StoredCrc(catalog->tensors[0]);
  EXPECT_EQ(*crc, Crc32c::Of(Bytes("abcd")));
}

TEST(BoxReader, ReadsPiecesOfAnyStrides) {
  auto store = std::make_shared<MemoryStore>();
  store->Put("a", Counting(100));
  store->Put("b", Counting(50, 100));
  Catalog catalog;
  catalog.root = store->root();
  catalog.objects = {*store->Stat("a"), *store->Stat("b")};
  // [3, 4] bf16: the left half transposed in "a" from byte 10, the right half in "b".
  TensorEntry tensor{"t", DType::kBF16, {3, 4}, 24, {}, nullptr};
  tensor.pieces.push_back({{{0, 0}, {3, 2}}, 0, 10, {2, 6}});
  tensor.pieces.push_back({{{0, 2}, {3, 4}}, 1, 0, {4, 2}});
  catalog.tensors = {tensor};
  MemoryBudget budget(64 * kMiB);
  ReaderPool pool(*store, catalog);
  BoxReader reader(pool.Opener(), budget);
  std::string out(16, '?');
  ASSERT_TRUE(reader.Read(tensor, {{1, 0}, {3, 4}}, std::as_writable_bytes(std::span(out))));
  std::string expected;
  for (const int at : {12, 18, 104, 106, 14, 20, 108, 110})
    expected += Counting(2, static_cast<uint64_t>(at));
  EXPECT_EQ(out, expected);
}

TEST(StoredCrc, IsOfAllChunksInTheOrderOfTheirKeys) {
  for (const uint64_t inline_bytes : {uint64_t{0}, uint64_t{1000}}) {
    Stored stored(Storage::kCrc, DType::kU8, {12, 11}, {1, 1}, {}, inline_bytes);
    MemoryBudget budget(64 * kMiB);
    const auto catalog = stored.Open(budget);
    ASSERT_TRUE(catalog) << ErrorText(catalog);
    ReaderPool pool(*stored.store, *catalog);
    BoxReader reader(pool.Opener(), budget);
    std::map<std::string, std::string> by_key;
    for (uint64_t i = 0; i < stored.chunks.size(); ++i)
      by_key[ZarrChunkKey(stored.meta(), i)] = stored.chunks[i];
    std::string all;
    for (const auto& [key, bytes] : by_key) all += bytes;
    EXPECT_EQ(*reader.StoredCrc(catalog->tensors[0]), Crc32c::Of(Bytes(all)));
  }
}

TEST(StoredCrc, OfALargeChunkIsReadInParts) {
  Stored stored(Storage::kCrc, DType::kU8, {3000, 2000}, {3000, 2000});
  MemoryBudget budget(7 * kMiB);
  const auto catalog = stored.Open(budget);
  ASSERT_TRUE(catalog) << ErrorText(catalog);
  ReaderPool pool(*stored.store, *catalog);
  BoxReader reader(pool.Opener(), budget);
  EXPECT_EQ(*reader.StoredCrc(catalog->tensors[0]), Crc32c::Of(Bytes(stored.chunks[0])));
}

TEST(ReaderPool, KeepsTheLatestOpenAndNoMoreThanItMay) {
  auto store = std::make_shared<MemoryStore>();
  Catalog catalog;
  catalog.root = store->root();
  for (const char* name : {"a", "b", "c"}) {
    store->Put(name, name);
    catalog.objects.push_back(*store->Stat(name));
  }
  ReaderPool pool(*store, catalog, 2);
  const auto a = pool.Get(0);
  EXPECT_EQ(pool.Get(0)->get(), a->get());
  ASSERT_TRUE(pool.Get(1));
  ASSERT_TRUE(pool.Get(0));  // now "b" is the oldest
  const ObjectReader* const b = pool.Get(1)->get();
  ASSERT_TRUE(pool.Get(0));
  ASSERT_TRUE(pool.Get(2));
  EXPECT_EQ(pool.Get(0)->get(), a->get());
  EXPECT_EQ((*a)->info().name, "a");
  (void)b;
  store->Put("b", "other");
  EXPECT_THAT(ErrorText(pool.Get(1)), HasSubstr("file    /memory/b")) << "it was closed";
}

TEST(ReaderPool, ServesManyThreadsAtOnce) {
  auto store = std::make_shared<MemoryStore>();
  Catalog catalog;
  catalog.root = store->root();
  for (int i = 0; i < 20; ++i) {
    const std::string name = fmt::format("{:02}", i);
    store->Put(name, name);
    catalog.objects.push_back(*store->Stat(name));
  }
  ReaderPool pool(*store, catalog, 3);
  std::vector<std::thread> threads;
  for (uint32_t seed = 0; seed < 4; ++seed) {
    threads.emplace_back([&, seed] {
      std::mt19937 random(seed);
      for (int i = 0; i < 200; ++i) {
        const auto object = static_cast<uint32_t>(random() % 20);
        const auto reader = pool.Get(object);
        EXPECT_TRUE(reader && (*reader)->info().name == fmt::format("{:02}", object));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace ckpt
