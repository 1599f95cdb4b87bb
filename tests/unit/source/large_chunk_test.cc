#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <functional>
#include <map>
#include <optional>
#include <random>
#include <utility>

#include "base/units.h"
#include "source/box_reader.h"
#include "source/box_runs.h"
#include "source/open.h"
#include "source/reader_pool.h"
#include "tests/store/faulty_store.h"
#include "tests/unit/source/orbax_builder.h"
#include "tests/unit/source/pack_chunk.h"

// Compressed chunks that are larger than the window of a BoxReader: streams, which one box leaves
// where the next may go on.

namespace ckpt {
namespace {

using ::testing::HasSubstr;

// Gives windows of 4 MiB; chunks of more than 2 MiB then pass as streams.
constexpr uint64_t kBudgetBytes = 7 * kMiB;
const Shape kLargeShape = {24, 300, 400};  // 2.9 MB

struct LargeForm {
  const char* name;
  Compression compression;
  bool has_crc32c = false;
  bool is_shard = false;
  ZarrForm form = ZarrForm::kV3;
};
constexpr std::array<LargeForm, 6> kLargeForms = {{
    {"zstd", Compression::kZstd},
    {"zstd, crc32c", Compression::kZstd, true},
    {"gzip", Compression::kGzip},
    {"gzip, crc32c", Compression::kGzip, true},
    {"zlib", Compression::kZlib, false, false, ZarrForm::kV2},
    {"zstd, crc32c, in a shard", Compression::kZstd, true, true},
}};

// Bytes that no codec makes smaller, so that what is asked of the store tells what was decoded.
const std::string& Noise(uint64_t size, uint64_t seed) {
  static std::map<std::pair<uint64_t, uint64_t>, std::string> made;  // slow under a sanitizer
  std::string& noise = made[{size, seed}];
  if (!noise.empty()) return noise;
  std::mt19937_64 random(seed);
  noise.assign((size + 7) / 8 * 8, '\0');
  for (uint64_t at = 0; at < noise.size(); at += 8) {
    const uint64_t word = random();
    std::memcpy(noise.data() + at, &word, sizeof(word));
  }
  noise.resize(size);
  return noise;
}

// Tensors in a store, and one reader of them all. Damage comes to every chunk.
class Checkpoint {
 public:
  using Damage = std::function<void(std::string&)>;  // to a stored (inner) chunk

  void Add(const std::string& name, const LargeForm& form, const Shape& shape, const Shape& chunk,
           const Damage& damage = {}) {
    ZarrArrayMeta meta = MakeZarrMeta(form.form, DType::kU8, shape, chunk);
    ZarrCodecs codecs;
    codecs.compression = form.compression;
    codecs.has_crc32c = form.has_crc32c;
    if (form.is_shard)
      meta.sharding = ZarrSharding{chunk, codecs, true, true};
    else
      meta.codecs = codecs;
    Tensor& tensor = tensors_[name];
    tensor.shape = shape;
    if (tensor.elements.empty()) tensor.elements = Noise(*shape.Elements(), tensors_.size());
    builder_.Array(name, meta);
    const Shape grid = ZarrGrid(meta);
    for (uint64_t number = 0; number < *grid.Elements(); ++number) {
      const Box cell = CellOf(grid, chunk, number);
      std::string packed = PackElements(codecs, PartOf(DType::kU8, shape, tensor.elements, cell));
      if (damage) damage(packed);
      stored_bytes = packed.size();
      builder_.Chunk(name, meta, number, form.is_shard ? PackShard({packed}) : packed);
    }
  }
  void SetElements(const std::string& name, std::string elements) {
    tensors_[name].elements = std::move(elements);
  }

  void Open(uint64_t budget_bytes = kBudgetBytes, uint64_t inline_bytes = 16) {
    builder_.PutDatabase(*store, "", inline_bytes);
    budget_.emplace(budget_bytes);
    auto catalog = OpenSource({store, ""}, *budget_);
    CKPT_CHECK(catalog.has_value());
    catalog_ = *std::move(catalog);
    pool_.emplace(*store, catalog_);
    reader_.emplace(pool_->Opener(), *budget_);
  }

  // Elements of a box, or the error.
  std::string Read(const std::string& name, const Box& box) {
    std::string out(BoxBytes(DType::kU8, box), '?');
    const auto read = reader_->Read(EntryOf(name), box, std::as_writable_bytes(std::span(out)));
    return read ? out : read.error().Print();
  }
  // Not by EXPECT_EQ: it would print megabytes.
  bool IsRead(const std::string& name, const Box& box) {
    return Read(name, box) == Expected(name, box);
  }
  // Lets the reader see the only chunk to its end, as the first box does: from then on boxes go on
  // from each other. Gives the bytes asked so far.
  uint64_t Check(const std::string& name) {
    Box last = WholeBox(EntryOf(name).shape);
    for (size_t axis = 0; axis < last.begin.size(); ++axis) last.begin[axis] = last.end[axis] - 1;
    EXPECT_TRUE(IsRead(name, last));
    return reader_->requested_bytes();
  }
  std::string Expected(const std::string& name, const Box& box) const {
    const Tensor& tensor = tensors_.at(name);
    return PartOf(DType::kU8, tensor.shape, tensor.elements, box);
  }
  const TensorEntry& EntryOf(const std::string& name) const {
    for (const TensorEntry& entry : catalog_.tensors) {
      if (entry.name == "params/" + name) return entry;
    }
    CKPT_UNREACHABLE("no such tensor");
  }
  BoxReader& reader() { return *reader_; }
  const Catalog& catalog() const { return catalog_; }

  std::shared_ptr<MemoryStore> store = std::make_shared<MemoryStore>();
  uint64_t stored_bytes = 0;  // of the latest chunk

 private:
  struct Tensor {
    Shape shape;
    std::string elements;
  };
  OrbaxBuilder builder_;
  std::map<std::string, Tensor> tensors_;
  std::optional<MemoryBudget> budget_;
  Catalog catalog_;
  std::optional<ReaderPool> pool_;
  std::optional<BoxReader> reader_;  // last: it gives back to the budget
};

// Rows [begin, end) of kLargeShape.
Box Rows(uint64_t begin, uint64_t end) { return {{begin, 0, 0}, {end, 300, 400}}; }

TEST(LargeChunk, IsFetchedOnceToBeCheckedAndOnceByAscendingBoxes) {
  for (const LargeForm& form : kLargeForms) {
    SCOPED_TRACE(form.name);
    Checkpoint checkpoint;
    checkpoint.Add("w", form, kLargeShape, kLargeShape);
    checkpoint.Open();
    const uint64_t before = checkpoint.store->read_bytes();
    constexpr uint64_t boxes = 6;
    for (uint64_t row = 0; row < 24; row += 24 / boxes)
      EXPECT_TRUE(checkpoint.IsRead("w", Rows(row, row + 24 / boxes))) << row;
    const uint64_t asked = checkpoint.reader().requested_bytes();
    EXPECT_EQ(asked, checkpoint.store->read_bytes() - before);
    EXPECT_GE(asked, checkpoint.stored_bytes * 19 / 10);
    // What is fetched in vain, a shard's index: a small part of a box each.
    EXPECT_LE(asked, 2 * checkpoint.stored_bytes + boxes * (kMergeGapBytes + kKiB));
  }
}

TEST(LargeChunk, IsPassedOverOnceByBoxesThatSkipAndRepeatNothing) {
  Checkpoint checkpoint;
  checkpoint.Add("w", kLargeForms[0], kLargeShape, kLargeShape);
  checkpoint.Open();
  const uint64_t before = checkpoint.Check("w");
  // The first ends inside a row; the next is of strided runs; the last of one element, twenty
  // elements on.
  for (const Box& box : {Box{{2, 0, 0}, {3, 10, 17}}, Box{{2, 10, 5}, {9, 12, 9}},
                         Box{{9, 0, 0}, {9 + 1, 1, 1}}, Box{{9, 0, 21}, {9 + 1, 1, 22}}})
    EXPECT_TRUE(checkpoint.IsRead("w", box));
  EXPECT_LE(checkpoint.reader().requested_bytes() - before,
            checkpoint.stored_bytes * 10 / 24 + 4 * kMergeGapBytes);
}

TEST(LargeChunk, IsNotAskedForWhatTheDecoderHoldsBack) {
  Checkpoint checkpoint;
  checkpoint.Add("w", kLargeForms[0], kLargeShape, kLargeShape);
  checkpoint.Open();
  checkpoint.Check("w");
  EXPECT_TRUE(checkpoint.IsRead("w", {{0, 0, 0}, {1, 1, 1}}));
  const uint64_t before = checkpoint.reader().requested_bytes();
  EXPECT_TRUE(checkpoint.IsRead("w", {{0, 0, 1}, {1, 1, 400}}));
  EXPECT_EQ(checkpoint.reader().requested_bytes(), before);
}

TEST(LargeChunk, IsToldFromOthersOfItsTensor) {
  for (const LargeForm& form : {kLargeForms[0], kLargeForms[5]}) {
    Checkpoint checkpoint;
    checkpoint.Add("w", form, {24, 300, 800}, kLargeShape);
    checkpoint.Open();
    for (const Box& box : {Box{{0, 0, 0}, {4, 300, 400}}, Box{{4, 0, 400}, {6, 300, 800}},
                           Box{{6, 0, 100}, {9, 300, 500}}, Box{{9, 0, 0}, {24, 300, 800}}})
      EXPECT_TRUE(checkpoint.IsRead("w", box)) << form.name;
  }
}

TEST(LargeChunk, GivesTheSameBytesInAnyOrder) {
  std::mt19937 random(5);
  for (const LargeForm& form : kLargeForms) {
    SCOPED_TRACE(form.name);
    Checkpoint checkpoint;
    checkpoint.Add("a", form, kLargeShape, kLargeShape);
    checkpoint.Add("b", form, kLargeShape, kLargeShape);
    checkpoint.Open();
    std::string name = "a";
    uint64_t row = 0;
    for (int round = 0; round < 24; ++round) {
      if (random() % 4 == 0) name = name == "a" ? "b" : "a";
      if (random() % 3 == 0) row = random() % 24;  // else where the last box ended
      Box box = Rows(row % 24, row % 24 + 1 + random() % (24 - row % 24) % 4);
      if (random() % 2 == 0) box.begin[1] = random() % 300;
      if (random() % 2 == 0) box.end[2] = 1 + random() % 400;
      EXPECT_TRUE(checkpoint.IsRead(name, box)) << round;
      if (random() % 5 == 0) {
        EXPECT_TRUE(checkpoint.IsRead(name, box)) << round << ", once more";
      }
      row = box.end[0];
    }
  }
}

TEST(LargeChunk, BeginsAnewForABoxThatLiesBeforeTheLast) {
  Checkpoint checkpoint;
  checkpoint.Add("w", kLargeForms[1], kLargeShape, kLargeShape);
  checkpoint.Open();
  uint64_t before = checkpoint.Check("w");
  for (const uint64_t row : {16U, 8U, 8U}) {
    EXPECT_TRUE(checkpoint.IsRead("w", Rows(row, row + 6)));
    const uint64_t asked = checkpoint.reader().requested_bytes() - before;
    EXPECT_GE(asked, checkpoint.stored_bytes * (row + 5) / 24) << row;
    before += asked;
  }
}

TEST(LargeChunk, BeginsAnewAfterAnotherCompressedChunk) {
  Checkpoint checkpoint;
  checkpoint.Add("a", kLargeForms[0], kLargeShape, kLargeShape);
  const uint64_t stored_bytes = checkpoint.stored_bytes;
  checkpoint.Add("small", kLargeForms[0], {5}, {5});
  checkpoint.Open();
  checkpoint.Check("a");
  EXPECT_TRUE(checkpoint.IsRead("a", Rows(0, 16)));
  EXPECT_TRUE(checkpoint.IsRead("small", {{1}, {4}}));
  const uint64_t before = checkpoint.reader().requested_bytes();
  EXPECT_TRUE(checkpoint.IsRead("a", Rows(16, 17)));
  EXPECT_GE(checkpoint.reader().requested_bytes() - before, stored_bytes * 16 / 24)
      << "two decompressors at once are more than the memory planned";
}

TEST(LargeChunk, GoesOnInAWindowThatOthersUsedAndReplaced) {
  Checkpoint checkpoint;
  checkpoint.Add("w", kLargeForms[1], kLargeShape, kLargeShape);
  const uint64_t stored_bytes = checkpoint.stored_bytes;
  checkpoint.Add("plain", {"plain", Compression::kNone}, {1600, 1000}, {1600, 1000});
  checkpoint.Open(10 * kMiB);
  EXPECT_EQ(BoxWindowBytes(checkpoint.EntryOf("w"), 10 * kMiB), kLeastBoxWindowBytes);
  EXPECT_GT(BoxWindowBytes(checkpoint.EntryOf("plain"), 10 * kMiB), kLeastBoxWindowBytes);
  checkpoint.Check("w");
  EXPECT_TRUE(checkpoint.IsRead("w", Rows(0, 10)));
  const auto plain = checkpoint.reader().StoredCrc(checkpoint.EntryOf("plain"));
  EXPECT_TRUE(plain);
  EXPECT_TRUE(checkpoint.IsRead("plain", {{0, 0}, {1600, 1000}}));
  const uint64_t before = checkpoint.reader().requested_bytes();
  EXPECT_TRUE(checkpoint.IsRead("w", Rows(10, 24)));
  EXPECT_LE(checkpoint.reader().requested_bytes() - before,
            stored_bytes * 14 / 24 + kMergeGapBytes);
}

TEST(LargeChunk, MayLieInTheIndexItself) {
  for (const LargeForm& form : {kLargeForms[1], kLargeForms[2]}) {
    Checkpoint checkpoint;
    checkpoint.SetElements("w", Counting(*kLargeShape.Elements()));
    checkpoint.Add("w", form, kLargeShape, kLargeShape);
    checkpoint.Open(kBudgetBytes, kMiB);
    for (const Box& box : {Rows(0, 7), Rows(7, 9), Rows(3, 4), Rows(20, 24), Rows(1, 24)})
      EXPECT_TRUE(checkpoint.IsRead("w", box)) << form.name;
    EXPECT_EQ(checkpoint.reader().requested_bytes(), 0U);
  }
}

TEST(LargeChunk, OfTheIndexIsToldFromThatOfAnotherTensor) {
  Checkpoint checkpoint;
  for (const std::string name : {"a", "b"}) {  // compressed, as long as the other
    checkpoint.SetElements(name, std::string(*kLargeShape.Elements(), name[0]));
    checkpoint.Add(name, kLargeForms[0], kLargeShape, kLargeShape);
  }
  checkpoint.Open(kBudgetBytes, kMiB);
  EXPECT_TRUE(checkpoint.IsRead("a", Rows(0, 7)));
  EXPECT_TRUE(checkpoint.IsRead("b", Rows(7, 9)));
  EXPECT_TRUE(checkpoint.IsRead("a", Rows(9, 11)));
}

// Of a chunk that decodes to far less or far more than the average where the boxes lie.
TEST(LargeChunk, IsReadWhateverItsPartsTake) {
  std::string elements = Noise(*kLargeShape.Elements(), 1);
  const auto begin = elements.begin() + static_cast<std::ptrdiff_t>(elements.size() / 4);
  std::fill(begin, begin + static_cast<std::ptrdiff_t>(elements.size() / 2), '\0');
  for (const LargeForm& form : kLargeForms) {
    SCOPED_TRACE(form.name);
    Checkpoint checkpoint;
    checkpoint.SetElements("w", elements);
    checkpoint.Add("w", form, kLargeShape, kLargeShape);
    checkpoint.Open();
    for (uint64_t row = 0; row < 24; row += 2)
      EXPECT_TRUE(checkpoint.IsRead("w", Rows(row, row + 2))) << row;
  }
}

void FlipLast(std::string& stored) { stored.back() = static_cast<char>(stored.back() ^ 1); }

TEST(LargeChunk, IsCheckedBeforeAnyBoxOfIt) {
  const std::map<std::string, Checkpoint::Damage> damages = {
      {"another checksum", FlipLast},
      {"cut", [](std::string& stored) { stored.resize(stored.size() - 3); }},
      {"longer", [](std::string& stored) { stored += "more"; }},
      {"half", [](std::string& stored) { stored.resize(stored.size() / 2); }},
  };
  for (const LargeForm& form : kLargeForms) {
    for (const auto& [name, damage] : damages) {
      SCOPED_TRACE(fmt::format("{}, {}", form.name, name));
      Checkpoint checkpoint;
      checkpoint.Add("w", form, {23, 299, 400}, kLargeShape, damage);
      checkpoint.Open();
      // A box that was refused is no check.
      for (const Box& box :
           {Box{{0, 0, 0}, {1, 2, 3}}, Box{{0, 0, 0}, {1, 2, 3}}, Box{{11, 0, 0}, {22, 299, 400}},
            Box{{22, 298, 399}, {23, 299, 400}}}) {
        const std::string error = checkpoint.Read("w", box);
        EXPECT_THAT(error, HasSubstr("exit 65"));
        EXPECT_THAT(error, HasSubstr("tensor  params/w"));
      }
    }
  }
}

TEST(LargeChunk, ThatIsDamagedIsNamedWhateverWasGoodBeforeIt) {
  Checkpoint checkpoint;
  checkpoint.Add("good", kLargeForms[1], kLargeShape, kLargeShape);
  checkpoint.Add("w", kLargeForms[1], kLargeShape, kLargeShape, FlipLast);
  checkpoint.Add("plain", {"plain", Compression::kNone, true}, kLargeShape, kLargeShape, FlipLast);
  checkpoint.Open();
  for (const char* name : {"w", "plain"}) {
    for (int round = 0; round < 2; ++round) {
      EXPECT_TRUE(checkpoint.IsRead("good", Rows(0, 20)));
      EXPECT_THAT(checkpoint.Read(name, Rows(0, 20)), HasSubstr("checksum (CRC-32C)")) << name;
    }
  }
}

TEST(LargeChunk, ThatDecodesToTooLittleIsRefused) {
  Checkpoint checkpoint;
  checkpoint.Add("w", kLargeForms[0], kLargeShape, kLargeShape,
                 [](std::string& stored) { stored = Zstd(Noise(1000000, 3)); });
  checkpoint.Open();
  for (const Box& box : {Rows(0, 8), Rows(8, 10), Rows(20, 24)})
    EXPECT_THAT(checkpoint.Read("w", box), HasSubstr("decodes to 1000000 bytes, not to 2880000"));
}

TEST(LargeChunk, BeginsAnewAfterAReadThatFailed) {
  Checkpoint checkpoint;
  checkpoint.Add("w", kLargeForms[1], kLargeShape, kLargeShape);
  checkpoint.Open();
  // To its end it takes two reads; the third is the second box's.
  for (const uint64_t failing : {2U, 3U}) {
    auto same = std::make_unique<MemoryStore>();
    same->Put("d/data", checkpoint.store->Get("d/data"));
    FaultyStore store(std::move(same), {{FaultPoint::kRead, failing}});
    ReaderPool pool(store, checkpoint.catalog());
    MemoryBudget budget(kBudgetBytes);
    BoxReader reader(pool.Opener(), budget);
    const auto read = [&](const Box& box) {
      std::string out(BoxBytes(DType::kU8, box), '?');
      const auto done =
          reader.Read(checkpoint.EntryOf("w"), box, std::as_writable_bytes(std::span(out)));
      return done ? out : done.error().Print();
    };
    if (failing == 3) {
      EXPECT_TRUE(read(Rows(0, 6)) == checkpoint.Expected("w", Rows(0, 6)));
    }
    EXPECT_THAT(read(Rows(6, 12)), HasSubstr("injected fault"));
    const uint64_t before = reader.requested_bytes();
    EXPECT_TRUE(read(Rows(12, 24)) == checkpoint.Expected("w", Rows(12, 24)));
    EXPECT_GE(reader.requested_bytes() - before, checkpoint.stored_bytes * 19 / 20) << failing;
  }
}

}  // namespace
}  // namespace ckpt
