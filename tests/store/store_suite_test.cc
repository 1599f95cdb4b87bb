// What every store promises. A store that differs says so in its StoreKind.
#include <algorithm>
#include <future>
#include <latch>
#include <thread>

#include "tests/store/store_kind.h"
#include "tests/store/store_test.h"
#include "tests/store/temp_folder.h"

namespace ckpt {
namespace {

const CreateOptions kReplace{.is_create_only = false};
constexpr uint64_t kBlock = kIoAlignment;

class StoreSuite : public testing::TestWithParam<StoreKind> {
 protected:
  StoreSuite() : folder_(GetParam().parent), store_(GetParam().open(folder_.path() + "/root")) {}

  Store& store() { return *store_; }

  // The object holds exactly `text`, as far as the store can tell.
  void ExpectHolds(std::string_view name, const std::string& text) {
    ASSERT_RESULT(const ObjectInfo info, store().Stat(name));
    EXPECT_EQ(info.name, name);
    EXPECT_EQ(store().KeepsObjects(), GetParam().is_readable);
    ASSERT_EQ(info.size_bytes, text.size());
    EXPECT_EQ(info.crc32c.value_or(Crc32c::Of(BytesOf(text))), Crc32c::Of(BytesOf(text)));
    if (!GetParam().is_readable) {
      EXPECT_TRUE(info.crc32c.has_value());
      EXPECT_FAILS(Code::kNotFound, store().Open(info));
      return;
    }
    ASSERT_RESULT(const auto reader, store().Open(info));
    const auto bulk = ReadBulk(*reader, {0, text.size()});
    ASSERT_TRUE(bulk.has_value()) << ErrorOf(bulk);
    EXPECT_TRUE(*bulk == text) << name << " holds other bytes";
  }

  void ExpectNames(const std::vector<std::string>& names) {
    ASSERT_RESULT(const auto infos, store().List(""));
    EXPECT_EQ(NamesOf(infos), names);
  }

 private:
  TempFolder folder_;
  std::unique_ptr<Store> store_;
};

TEST_P(StoreSuite, HoldsWhatWasAppended) {
  const std::string text = RandomText(3 * kBlock + 17, 1);
  ASSERT_RESULT(const auto writer, store().Create("a/object", {}));
  ASSERT_SUCCEEDS(writer->Append(BytesOf(text).first(5)));
  ASSERT_SUCCEEDS(writer->Append({}));
  ASSERT_SUCCEEDS(writer->Append(BytesOf(text).subspan(5)));
  ASSERT_RESULT(const ObjectInfo committed, writer->Commit());
  ASSERT_RESULT(const ObjectInfo found, store().Stat("a/object"));
  EXPECT_EQ(committed.name, "a/object");
  EXPECT_EQ(committed.generation, found.generation);
  EXPECT_EQ(committed.crc32c, Crc32c::Of(BytesOf(text)));
  ExpectHolds("a/object", text);
}

TEST_P(StoreSuite, HoldsObjectsOfZeroBytes) {
  ASSERT_SUCCEEDS(WriteSmallObject(store(), "sequential", "", {}));
  ASSERT_RESULT(const auto writer, store().CreatePositioned("positioned", 0, {}));
  ASSERT_SUCCEEDS(writer->WriteAt(0, {}).get());
  ASSERT_SUCCEEDS(writer->Commit());
  ExpectHolds("sequential", "");
  ExpectHolds("positioned", "");
}

TEST_P(StoreSuite, ReadsRangesAtTheEndsAndAcrossBlocks) {
  const std::string text = RandomText(3 * kBlock + 17, 2);
  ASSERT_SUCCEEDS(WriteSmallObject(store(), "object", text, {}));
  if (!GetParam().is_readable) return ExpectHolds("object", text);
  ASSERT_RESULT(const auto reader, store().Open(*store().Stat("object")));
  const uint64_t size = text.size();
  const std::vector<ByteRange> ranges = {{0, 0},
                                         {0, 1},
                                         {0, kBlock},
                                         {1, kBlock},
                                         {kBlock - 1, kBlock + 1},
                                         {kBlock, size},
                                         {size - 1, size},
                                         {size, size},
                                         {size - 17, size},
                                         {2 * kBlock + 5, 2 * kBlock + 6}};
  for (const ByteRange range : ranges) {
    const std::string expected = text.substr(range.begin, range.size());
    EXPECT_EQ(ReadBulk(*reader, range), expected) << ToString(range);
    EXPECT_EQ(ReadSmall(*reader, range), expected) << ToString(range);
  }
}

TEST_P(StoreSuite, RefusesRangesBeyondTheEnd) {
  ASSERT_SUCCEEDS(WriteSmallObject(store(), "object", RandomText(kBlock, 3), {}));
  if (!GetParam().is_readable) {
    EXPECT_FAILS(Code::kNotFound, store().Open(*store().Stat("object")));
    return;
  }
  ASSERT_RESULT(const auto reader, store().Open(*store().Stat("object")));
  for (const ByteRange range : {ByteRange{0, kBlock + 1}, ByteRange{kBlock, kBlock + 1},
                                ByteRange{uint64_t{1} << 63U, (uint64_t{1} << 63U) + 1}}) {
    EXPECT_FAILS(Code::kBadInput, ReadBulk(*reader, range));
    EXPECT_FAILS(Code::kBadInput, ReadSmall(*reader, range));
  }
}

TEST_P(StoreSuite, ReadsManyRangesOfOneReaderAtOnce) {
  const std::string text = RandomText(64 * kBlock, 4);
  ASSERT_SUCCEEDS(WriteSmallObject(store(), "object", text, {}));
  if (!GetParam().is_readable) return ExpectHolds("object", text);
  ASSERT_RESULT(const auto reader, store().Open(*store().Stat("object")));
  AlignedMemory memory(text.size());
  std::vector<IoFuture> futures;
  for (uint64_t begin = 0; begin < text.size(); begin += kBlock)
    futures.push_back(
        reader->ReadWindow({begin, begin + kBlock}, memory.span().subspan(begin, kBlock)));
  for (IoFuture& future : futures) ASSERT_SUCCEEDS(future.get());
  EXPECT_EQ(std::memcmp(memory.span().data(), text.data(), text.size()), 0);
}

TEST_P(StoreSuite, RefusesToOpenAPinnedGenerationAfterOverwrite) {
  ASSERT_SUCCEEDS(WriteSmallObject(store(), "object", "old", {}));
  ASSERT_RESULT(const ObjectInfo pinned, store().Stat("object"));
  ASSERT_SUCCEEDS(WriteSmallObject(store(), "object", "new", kReplace));
  ASSERT_RESULT(const ObjectInfo now, store().Stat("object"));
  EXPECT_NE(now.generation, pinned.generation);
  EXPECT_FAILS(GetParam().is_readable ? Code::kBadInput : Code::kNotFound, store().Open(pinned));
  ExpectHolds("object", "new");
}

TEST_P(StoreSuite, NeverMixesGenerationsInAnOpenReader) {
  ASSERT_SUCCEEDS(WriteSmallObject(store(), "object", "old", {}));
  ASSERT_RESULT(const ObjectInfo pinned, store().Stat("object"));
  if (!GetParam().is_readable) {
    EXPECT_FAILS(Code::kNotFound, store().Open(pinned));
    return;
  }
  ASSERT_RESULT(const auto reader, store().Open(pinned));
  ASSERT_SUCCEEDS(WriteSmallObject(store(), "object", "new", kReplace));
  const auto text = ReadBulk(*reader, {0, 3});
  EXPECT_TRUE(text ? *text == "old" : text.error().code == Code::kBadInput) << ErrorOf(text);
}

TEST_P(StoreSuite, RefusesToCreateAnExistingNameUnlessAsked) {
  ASSERT_SUCCEEDS(WriteSmallObject(store(), "object", "old", {}));
  EXPECT_FAILS(Code::kCannotCreate, WriteSmallObject(store(), "object", "other", {}));
  EXPECT_FAILS(Code::kCannotCreate, store().CreatePositioned("object", 3, {}));
  ExpectHolds("object", "old");
  ASSERT_RESULT(const auto writer, store().CreatePositioned("object", 3, kReplace));
  ASSERT_SUCCEEDS(writer->WriteAt(0, BytesOf("new")).get());
  ASSERT_SUCCEEDS(writer->Commit());
  ExpectHolds("object", "new");
}

TEST_P(StoreSuite, LetsOneOfTwoRacingWritersCreate) {
  ASSERT_RESULT(auto first, store().Create("object", {}));
  ASSERT_RESULT(auto second, store().Create("object", {}));
  ASSERT_SUCCEEDS(first->Append(BytesOf("first")));
  ASSERT_SUCCEEDS(second->Append(BytesOf("second")));
  bool is_first_created = false;
  bool is_second_created = false;
  std::thread other([&] { is_second_created = second->Commit().has_value(); });
  is_first_created = first->Commit().has_value();
  other.join();
  EXPECT_NE(is_first_created, is_second_created);
  first.reset();
  second.reset();
  ExpectHolds("object", is_first_created ? "first" : "second");
  ExpectNames({"object"});
}

TEST_P(StoreSuite, LetsPositionedWritersOfOneNameShareOrOneWin) {
  ASSERT_RESULT(auto first, store().CreatePositioned("object", 4, {}));
  ASSERT_RESULT(auto second, store().CreatePositioned("object", 4, {}));
  ASSERT_SUCCEEDS(first->WriteAt(0, BytesOf("same")).get());
  ASSERT_SUCCEEDS(second->WriteAt(0, BytesOf("same")).get());
  ASSERT_SUCCEEDS(first->Commit());
  EXPECT_EQ(second->Commit().has_value(), GetParam().is_part_shared);
  first.reset();
  second.reset();
  ExpectHolds("object", "same");
  ExpectNames({"object"});
}

TEST_P(StoreSuite, ShowsNothingUnderTheNameBeforeCommit) {
  ASSERT_RESULT(const auto writer, store().Create("sequential", {}));
  ASSERT_SUCCEEDS(writer->Append(BytesOf("text")));
  ASSERT_RESULT(const auto positioned, store().CreatePositioned("positioned", 4, {}));
  ASSERT_SUCCEEDS(positioned->WriteAt(0, BytesOf("text")).get());
  ASSERT_SUCCEEDS(positioned->Settle({0, 4}));
  EXPECT_FAILS(Code::kNotFound, store().Stat("sequential"));
  EXPECT_FAILS(Code::kNotFound, store().Stat("positioned"));
}

TEST_P(StoreSuite, LeavesNothingOfAbandonedWriters) {
  {
    ASSERT_RESULT(const auto writer, store().Create("a/b/sequential", {}));
    ASSERT_SUCCEEDS(writer->Append(BytesOf("text")));
    ASSERT_RESULT(const auto positioned, store().CreatePositioned("a/positioned", kBlock, {}));
    AlignedMemory memory(kBlock);
    // Its future is dropped: the writer's end waits for it.
    positioned->WriteAt(0, memory.span().first(kBlock));
  }
  ExpectNames({});
}

TEST_P(StoreSuite, GoesOnWithAKeptObjectAfterItsWriterEnded) {
  if (!GetParam().keeps_unfinished) {
    ASSERT_RESULT(const auto writer, store().CreatePositioned("object", 1, {.is_kept = true}));
    EXPECT_EQ(writer->session(), "");
    return;
  }
  const std::string text = RandomText(3 * kBlock + 17, 11);
  CreateOptions options{.borders = {kBlock, 2 * kBlock}, .is_kept = true};
  const std::vector<ByteRange> segments = {
      {0, kBlock}, {kBlock, 2 * kBlock}, {2 * kBlock, text.size()}};
  std::vector<std::string> receipts(segments.size());
  for (const size_t i : {1U, 2U, 0U}) {
    ASSERT_RESULT(const auto writer, store().CreatePositioned("a/object", text.size(), options));
    options.session = writer->session();
    EXPECT_NE(options.session, "");
    ASSERT_SUCCEEDS(writer
                        ->WriteAt(segments[i].begin,
                                  BytesOf(text).subspan(segments[i].begin, segments[i].size()))
                        .get());
    ASSERT_RESULT(receipts[i], writer->Settle(segments[i]));
  }
  EXPECT_FAILS(Code::kNotFound, store().Stat("a/object"));
  ASSERT_RESULT(const auto writer, store().CreatePositioned("a/object", text.size(), options));
  ASSERT_RESULT(const auto late, store().CreatePositioned("a/object", text.size(), options));
  for (size_t i = 0; i < segments.size(); ++i) {
    ASSERT_SUCCEEDS(writer->TakeOver(segments[i], receipts[i]));
    ASSERT_SUCCEEDS(late->TakeOver(segments[i], receipts[i]));
  }
  ASSERT_SUCCEEDS(writer->Commit());
  ExpectHolds("a/object", text);
  ASSERT_SUCCEEDS(late->Commit());
  ExpectHolds("a/object", text);
  ExpectNames({"a/object"});
  EXPECT_FAILS(Code::kCannotCreate, store().CreatePositioned("a/object", text.size(), options));
  options.is_create_only = false;
  EXPECT_FAILS(Code::kNotFound, store().CreatePositioned("a/object", text.size(), options));
  ASSERT_SUCCEEDS(store().DropUnfinished("a/object", options.session));
  ExpectHolds("a/object", text);
}

TEST_P(StoreSuite, TwoWritersEndAKeptObjectAtOneMoment) {
  if (!GetParam().keeps_unfinished) return;
  const std::string text = RandomText(kBlock + 17, 12);
  for (int round = 0; round < 30; ++round) {
    const std::string name = "a/object-" + std::to_string(round);
    CreateOptions options{.is_create_only = round % 2 == 0, .is_kept = true};
    ASSERT_RESULT(const auto one, store().CreatePositioned(name, text.size(), options));
    ASSERT_SUCCEEDS(one->WriteAt(0, BytesOf(text)).get());
    ASSERT_RESULT(const std::string receipt, one->Settle({0, text.size()}));
    options.session = one->session();
    ASSERT_RESULT(const auto other, store().CreatePositioned(name, text.size(), options));
    ASSERT_SUCCEEDS(other->TakeOver({0, text.size()}, receipt));
    std::latch both(2);
    const auto end = [&both](PositionedWriter& writer) {
      both.arrive_and_wait();
      return writer.Commit();
    };
    auto ended = std::async(std::launch::async, end, std::ref(*one));
    const auto ended_here = end(*other);
    ASSERT_SUCCEEDS(ended.get());
    ASSERT_SUCCEEDS(ended_here);
    ExpectHolds(name, text);
  }
}

TEST_P(StoreSuite, DropsAnUnfinishedKeptObject) {
  ASSERT_SUCCEEDS(store().DropUnfinished("never/was", ""));
  if (!GetParam().keeps_unfinished) return;
  CreateOptions options{.is_kept = true};
  {
    ASSERT_RESULT(const auto writer, store().CreatePositioned("a/object", 4, options));
    options.session = writer->session();
    ASSERT_SUCCEEDS(writer->WriteAt(0, BytesOf("text")).get());
    ASSERT_SUCCEEDS(writer->Settle({0, 4}));
  }
  ASSERT_SUCCEEDS(store().DropUnfinished("a/object", options.session));
  ASSERT_SUCCEEDS(store().DropUnfinished("a/object", options.session));
  ExpectNames({});
  EXPECT_FAILS(Code::kNotFound, store().CreatePositioned("a/object", 4, options));
  ASSERT_RESULT(const size_t count, store().DropUnfinishedBelow(""));
  EXPECT_EQ(count, 0U);
  options.session.clear();
  ASSERT_RESULT(const auto again, store().CreatePositioned("a/object", 4, options));
  ASSERT_SUCCEEDS(again->WriteAt(0, BytesOf("more")).get());
  ASSERT_SUCCEEDS(again->Commit());
  ExpectHolds("a/object", "more");
}

TEST_P(StoreSuite, KeepsWhatIsNotWholeInTheTemporaryFolder) {
  const CreateOptions options{.temporary_folder = "state/tmp"};
  {
    ASSERT_RESULT(const auto writer, store().Create("a/sequential", options));
    ASSERT_SUCCEEDS(writer->Append(BytesOf("text")));
    ASSERT_RESULT(const auto positioned, store().CreatePositioned("a/positioned", 4, options));
    ASSERT_SUCCEEDS(positioned->WriteAt(0, BytesOf("text")).get());
    ASSERT_SUCCEEDS(positioned->Settle({0, 4}));
    ASSERT_RESULT(const auto beside, store().List("a"));
    EXPECT_TRUE(beside.empty()) << beside[0].name;
    ASSERT_SUCCEEDS(writer->Commit());
    ASSERT_SUCCEEDS(positioned->Commit());
    ASSERT_RESULT(const auto abandoned, store().Create("a/abandoned", options));
    ASSERT_SUCCEEDS(abandoned->Append(BytesOf("text")));
  }
  ExpectHolds("a/sequential", "text");
  ExpectHolds("a/positioned", "text");
  ExpectNames({"a/positioned", "a/sequential"});
}

// Cut at random places; writes side by side never share a block, as WriteAt() asks.
TEST_P(StoreSuite, FillsPositionedObjectsInAnyOrderWithUnalignedEdges) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    std::mt19937_64 random(seed);
    const std::string text = RandomText(kBlock * 20 + random() % (2 * kBlock), seed);
    std::vector<ByteRange> pieces;
    for (uint64_t begin = 0; begin < text.size();) {
      const uint64_t size = 1 + random() % (random() % 2 == 0 ? 3 * kBlock : 50);
      pieces.push_back({begin, std::min<uint64_t>(begin + size, text.size())});
      begin = pieces.back().end;
    }
    std::shuffle(pieces.begin(), pieces.end(), random);
    const std::string name = "object" + std::to_string(seed);
    ASSERT_RESULT(const auto writer, store().CreatePositioned(name, text.size(), {}));
    std::vector<std::pair<ByteRange, IoFuture>> under_way;
    for (const ByteRange piece : pieces) {
      const ByteRange blocks = AlignOutward(piece, kBlock);
      for (auto& [other, future] : under_way) {
        if (other.begin < blocks.end && blocks.begin < other.end && future.valid()) {
          ASSERT_SUCCEEDS(future.get());
        }
      }
      under_way.emplace_back(
          blocks, writer->WriteAt(piece.begin, BytesOf(text).subspan(piece.begin, piece.size())));
    }
    for (auto& [blocks, future] : under_way) {
      if (future.valid()) {
        ASSERT_SUCCEEDS(future.get());
      }
    }
    ASSERT_SUCCEEDS(writer->Settle({0, text.size()}));
    ASSERT_RESULT(const ObjectInfo info, writer->Commit());
    EXPECT_EQ(info.size_bytes, text.size());
    ExpectHolds(name, text);
  }
}

TEST_P(StoreSuite, FillsPositionedObjectsFromAlignedMemory) {
  const uint64_t size = 8 * kBlock + 100;
  AlignedMemory memory(size);
  const std::string text = RandomText(size, 9);
  std::memcpy(memory.span().data(), text.data(), size);
  ASSERT_RESULT(const auto writer, store().CreatePositioned("object", size, {}));
  IoFuture tail = writer->WriteAt(4 * kBlock, memory.span().subspan(4 * kBlock, size - 4 * kBlock));
  IoFuture head = writer->WriteAt(0, memory.span().first(4 * kBlock));
  ASSERT_SUCCEEDS(head.get());
  ASSERT_SUCCEEDS(tail.get());
  ASSERT_SUCCEEDS(writer->Commit());
  ExpectHolds("object", text);
}

TEST_P(StoreSuite, RefusesNamesThatLeadOutside) {
  for (const std::string name :
       {"", "/etc/passwd", "../x", "a/../../x", "a//x", "a/", "./x", "C:x", "a\\x"}) {
    ObjectInfo info;
    info.name = name;
    EXPECT_FAILS(Code::kBadInput, store().Stat(name));
    EXPECT_FAILS(Code::kBadInput, store().Open(info));
    EXPECT_FAILS(Code::kBadInput, store().Create(name, {}));
    EXPECT_FAILS(Code::kBadInput, store().CreatePositioned(name, 1, {}));
    EXPECT_FAILS(Code::kBadInput, store().Remove(name));
    if (!name.empty()) {
      EXPECT_FAILS(Code::kBadInput, store().List(name));
    }
  }
}

TEST_P(StoreSuite, SaysThatMissingObjectsAndFoldersAreNotFound) {
  ASSERT_SUCCEEDS(WriteSmallObject(store(), "folder/object", "", {}));
  for (const std::string name : {"missing", "missing/too", "folder", "folder/object/below"}) {
    EXPECT_FAILS(Code::kNotFound, store().Stat(name));
    ObjectInfo info;
    info.name = name;
    EXPECT_FALSE(store().Open(info).has_value()) << name;
  }
}

TEST_P(StoreSuite, RemovesOnceAndForAll) {
  ASSERT_SUCCEEDS(store().Remove("never/was"));
  ASSERT_SUCCEEDS(WriteSmallObject(store(), "a/b/object", "text", {}));
  ASSERT_SUCCEEDS(WriteSmallObject(store(), "a/other", "text", {}));
  ASSERT_SUCCEEDS(store().Remove("a/b/object"));
  ASSERT_SUCCEEDS(store().Remove("a/b/object"));
  EXPECT_FAILS(Code::kNotFound, store().Stat("a/b/object"));
  ExpectNames({"a/other"});
  ASSERT_SUCCEEDS(WriteSmallObject(store(), "a/b/object", "again", {}));
  ExpectHolds("a/b/object", "again");
}

TEST_P(StoreSuite, RemovesAllBelowAFolderAndNothingBeside) {
  for (const std::string name : {"a/b/one", "a/b/two", "a/three", "ab/four"})
    ASSERT_SUCCEEDS(WriteSmallObject(store(), name, name, {}));
  ASSERT_SUCCEEDS(store().RemoveAll("a"));
  ASSERT_SUCCEEDS(store().RemoveAll("a"));
  ExpectNames({"ab/four"});
}

TEST_P(StoreSuite, RenamesAFolderWithAllBelowItWhereItCan) {
  ASSERT_SUCCEEDS(WriteSmallObject(store(), "x/old/a", "one", {}));
  ASSERT_SUCCEEDS(WriteSmallObject(store(), "x/old/b/c", "two", {}));
  if (!store().RenamesFolders()) {
    EXPECT_FAILS(Code::kInternal, store().RenameFolder("x/old", "new"));
    return;
  }
  ASSERT_SUCCEEDS(store().RenameFolder("x/old", "new/name"));
  ExpectNames({"new/name/a", "new/name/b/c"});
  ExpectHolds("new/name/b/c", "two");
  ASSERT_SUCCEEDS(WriteSmallObject(store(), "taken/file", "mine", {}));
  EXPECT_FAILS(Code::kCannotCreate, store().RenameFolder("new/name", "taken"));
  EXPECT_FAILS(Code::kCannotCreate, store().RenameFolder("never/was", "elsewhere"));
  ExpectHolds("taken/file", "mine");
}

TEST_P(StoreSuite, ListsByNameAndBelowAFolder) {
  ExpectNames({});
  for (const std::string name : {"b", "a/c/d", "a.x", "a/b", "ab"})
    ASSERT_SUCCEEDS(WriteSmallObject(store(), name, name, {}));
  ExpectNames({"a.x", "a/b", "a/c/d", "ab", "b"});
  ASSERT_RESULT(const auto below, store().List("a"));
  EXPECT_THAT(NamesOf(below), testing::ElementsAre("a/b", "a/c/d"));
  EXPECT_EQ(below[0].size_bytes, 3U);
  EXPECT_EQ(below[0].generation, store().Stat("a/b")->generation);
  ASSERT_RESULT(const auto nothing, store().List("missing"));
  EXPECT_TRUE(nothing.empty());
}

TEST_P(StoreSuite, ReadsSmallObjectsUpToALimit) {
  ASSERT_SUCCEEDS(WriteSmallObject(store(), "object", "four", {}));
  EXPECT_FAILS(Code::kBadInput, store().ReadWhole("object", 3));
  EXPECT_FAILS(Code::kNotFound, store().ReadWhole("missing", 3));
  const auto text = store().ReadWhole("object", 4);
  EXPECT_TRUE(text ? *text == "four" : !GetParam().is_readable) << ErrorOf(text);
}

INSTANTIATE_TEST_SUITE_P(All, StoreSuite, testing::ValuesIn(AllStoreKinds()),
                         [](const auto& kind) { return kind.param.name; });

}  // namespace
}  // namespace ckpt
