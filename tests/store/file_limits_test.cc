// Full disks, refused direct I/O, the page cache, and the words for all errors.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <thread>

#include "store/file/descriptor.h"
#include "store/file/direct_write.h"
#include "store/file/file_error.h"
#include "store/file/file_store.h"
#include "store/file/page_cache.h"
#include "tests/store/file_size_limit.h"
#include "tests/store/store_test.h"
#include "tests/store/temp_folder.h"

namespace ckpt {
namespace {

using testing::HasSubstr;

constexpr uint64_t kBlock = kIoAlignment;

std::unique_ptr<Store> OpenAt(const std::string& path, IoMode mode = IoMode::kAuto) {
  return *OpenFileStore(*Uri::Parse(path), {.io_mode = mode});
}

TEST(FullDisk, IsNoticedBeforeAPositionedWriteAndLeavesNothing) {
  const TempFolder folder(TempFolder::OnDisk());
  const auto store = OpenAt(folder.path());
  const FileSizeLimit limit(64 * kBlock);
  const auto writer = store->CreatePositioned("a/object", 65 * kBlock, {});
  ASSERT_FALSE(writer.has_value());
  EXPECT_EQ(writer.error().code, Code::kCannotCreate);
  EXPECT_THAT(writer.error().what, HasSubstr("266.2 kB needed, "));
  EXPECT_THAT(writer.error().remedy, HasSubstr("ulimit -f"));
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST(FullDisk, FailsASequentialWriteAndItsCommit) {
  const TempFolder folder(TempFolder::OnDisk());
  const auto store = OpenAt(folder.path());
  {
    ASSERT_RESULT(const auto writer, store->Create("object", {}));
    const FileSizeLimit limit(64 * kBlock);
    ASSERT_SUCCEEDS(writer->Append(BytesOf(RandomText(64 * kBlock, 1))));
    const auto appended = writer->Append(BytesOf("x"));
    ASSERT_FALSE(appended.has_value());
    EXPECT_EQ(appended.error().code, Code::kCannotCreate);
    EXPECT_THAT(appended.error().where,
                testing::ElementsAre(Place{"byte", "[262144, 262145)"},
                                     Place{"file", folder.path() + "/object"}));
    EXPECT_FAILS(Code::kIo, writer->Commit());
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST(FullDisk, IsToldWithWhatIsNeededAndFree) {
  const TempFolder folder(TempFolder::OnDisk());
  const Descriptor fd(open(folder.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  for (const int error : {ENOSPC, EDQUOT}) {
    const auto failure = FailOutput(error, "write", fd.get(), 16'060'000'000);
    EXPECT_EQ(failure.value().code, Code::kCannotCreate);
    EXPECT_THAT(failure.value().what, testing::MatchesRegex(".*: 16\\.1 GB needed, .* are free.*"));
    EXPECT_THAT(failure.value().remedy, HasSubstr("free some space"));
  }
}

TEST(FileError, HasTheCodeOfWhoIsToBlame) {
  const auto code = [](FileSide side, int error) {
    return FailFile(side, error, "x").value().code;
  };
  EXPECT_EQ(code(FileSide::kSource, ENOENT), Code::kNotFound);
  EXPECT_EQ(code(FileSide::kSource, ENOTDIR), Code::kNotFound);
  EXPECT_EQ(code(FileSide::kSource, EACCES), Code::kDenied);
  EXPECT_EQ(code(FileSide::kSource, EPERM), Code::kDenied);
  EXPECT_EQ(code(FileSide::kSource, ENAMETOOLONG), Code::kBadInput);
  EXPECT_EQ(code(FileSide::kSource, EIO), Code::kIo);
  EXPECT_EQ(code(FileSide::kSource, EMFILE), Code::kResources);
  for (const int error :
       {ENOENT, ENOTDIR, EACCES, EPERM, EROFS, ENAMETOOLONG, EISDIR, ENOSPC, EFBIG})
    EXPECT_EQ(code(FileSide::kOutput, error), Code::kCannotCreate) << error;
  EXPECT_EQ(code(FileSide::kOutput, ENOMEM), Code::kResources);
  EXPECT_EQ(code(FileSide::kOutput, EIO), Code::kIo);
}

TEST(FileError, SaysWhatFailedAndWhatToDo) {
  for (const int error : {ENOENT, EACCES, EROFS, ELOOP, ENOSPC, EFBIG, EMFILE, ENOMEM, EIO}) {
    for (const FileSide side : {FileSide::kSource, FileSide::kOutput}) {
      const Error failure = FailFile(side, error, "open").value();
      EXPECT_THAT(failure.what, testing::StartsWith("cannot open: "));
      EXPECT_FALSE(failure.remedy.empty());
    }
  }
}

// sysfs refuses O_DIRECT everywhere and to everybody. Its files say 4096 bytes and hold a few.
class RefusedDirectIo : public testing::Test {
 protected:
  std::unique_ptr<Store> Open(IoMode mode) { return OpenAt("/sys/devices/system/cpu", mode); }
};

TEST_F(RefusedDirectIo, FallsBackToBufferedReads) {
  const auto store = Open(IoMode::kAuto);
  ASSERT_RESULT(const auto reader, store->Open(*store->Stat("online")));
  EXPECT_EQ(ReadBulk(*reader, {0, 1}), "0");
  const auto all = ReadBulk(*reader, {0, 4096});
  ASSERT_FALSE(all.has_value());
  EXPECT_THAT(all.error().what, HasSubstr("4096 expected: truncated"));
}

TEST_F(RefusedDirectIo, IsAnErrorWhereDirectIoIsForced) {
  const auto store = Open(IoMode::kDirect);
  EXPECT_FAILS(Code::kUsage, store->Open(*store->Stat("online")));
}

TEST_F(RefusedDirectIo, IsNoticedWhenOnlyTheReadIsRefused) {
  const TempFolder folder(TempFolder::OnDisk());
  const std::string text = RandomText(3 * kBlock, 1);
  const auto direct = OpenAt(folder.path(), IoMode::kDirect);
  // Positioned, as small objects would lie in the page cache and be read from there.
  ASSERT_RESULT(const auto writer, direct->CreatePositioned("object", text.size(), {}));
  ASSERT_SUCCEEDS(writer->WriteAt(0, BytesOf(text)).get());
  ASSERT_SUCCEEDS(writer->Commit());
  // An odd address breaks the caller's promise; here it makes the kernel refuse one read with
  // EINVAL.
  AlignedMemory memory(4 * kBlock);
  const auto window = memory.span().subspan(1, 3 * kBlock);
  const ByteRange range{5, 2 * kBlock};
  ASSERT_RESULT(const auto forced, direct->Open(*direct->Stat("object")));
  EXPECT_FAILS(Code::kUsage, forced->ReadWindow(range, window).get());
  const auto store = OpenAt(folder.path(), IoMode::kAuto);
  ASSERT_RESULT(const auto reader, store->Open(*store->Stat("object")));
  ASSERT_SUCCEEDS(reader->ReadWindow(range, window).get());
  EXPECT_EQ(std::memcmp(window.data() + range.begin, text.data() + range.begin, range.size()), 0);
}

// Against plain memory: every ragged edge, from aligned and from odd addresses.
TEST(DirectWrite, ChangesExactlyTheGivenBytes) {
  const TempFolder folder(TempFolder::OnDisk());
  const std::string path = folder.path() + "/file";
  constexpr uint64_t size = 6 * kBlock;
  std::string expected = RandomText(size, 1);
  std::ofstream(path, std::ios::binary) << expected;
  const Descriptor fd(open(path.c_str(), O_RDWR | O_DIRECT | O_CLOEXEC));
  ASSERT_TRUE(fd.is_open()) << "no direct I/O in " << folder.path();
  AlignedMemory memory(size + kBlock);
  const std::string noise = RandomText(size + kBlock, 2);
  std::memcpy(memory.span().data(), noise.data(), noise.size());
  const std::vector<ByteRange> ranges = {{0, 0},
                                         {0, 1},
                                         {0, kBlock},
                                         {1, kBlock},
                                         {5, 6},
                                         {kBlock - 1, kBlock + 1},
                                         {kBlock, 3 * kBlock},
                                         {7, 3 * kBlock},
                                         {kBlock, 3 * kBlock + 9},
                                         {9, 5 * kBlock + 11},
                                         {size - 1, size}};
  for (const ByteRange range : ranges) {
    for (const uint64_t shift : {uint64_t{0}, uint64_t{1}, range.begin % kBlock}) {
      const auto bytes = memory.span().subspan(shift, range.size());
      ASSERT_EQ(WriteDirectAt(fd.get(), bytes, range.begin), 0) << ToString(range);
      expected.replace(range.begin, range.size(), noise, shift, range.size());
      std::string now(size, '\0');
      std::ifstream(path, std::ios::binary).read(now.data(), size);
      ASSERT_TRUE(now == expected) << ToString(range) << " from address + " << shift;
    }
  }
}

TEST(PageCache, TakesAFileWithHolesForNotCached) {
  const TempFolder folder(TempFolder::OnDisk());
  const std::string path = folder.path() + "/sparse";
  const Descriptor fd(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  ASSERT_EQ(ftruncate(fd.get(), 256 * kBlock), 0);
  const std::string text(kBlock, 'x');
  ASSERT_EQ(WriteAllAt(fd.get(), std::as_bytes(std::span(text)), 0).error, 0);
  EXPECT_FALSE(IsCached(fd.get(), 256 * kBlock));
}

TEST(PageCache, KnowsWhetherAFileIsCached) {
  const TempFolder folder(TempFolder::OnDisk());
  const std::string path = folder.path() + "/file";
  const std::string text = RandomText(256 * kBlock, 1);
  std::ofstream(path, std::ios::binary) << text;
  const Descriptor fd(open(path.c_str(), O_RDWR | O_CLOEXEC));
  EXPECT_TRUE(IsCached(fd.get(), text.size()));
  EXPECT_TRUE(IsCached(fd.get(), 0));
  ASSERT_EQ(SyncFile(fd.get()), 0);
  // Advice: the system keeps what it has in hand at the moment.
  bool is_cached = true;
  for (int i = 0; i < 100 && is_cached; ++i) {
    if (i > 0) std::this_thread::sleep_for(std::chrono::milliseconds(10));
    DropCached(fd.get(), {0, text.size()});
    is_cached = IsCached(fd.get(), text.size());
  }
  EXPECT_FALSE(is_cached);
  // A look that misses has its page fetched: with a page in each stretch, looks at fixed places
  // would find all.
  posix_fadvise(fd.get(), 0, 0, POSIX_FADV_RANDOM);
  for (uint64_t offset = 0; offset < text.size(); offset += text.size() / 16) {
    std::byte byte{};
    ASSERT_EQ(ReadAt(fd.get(), {&byte, 1}, offset).bytes, 1U);
  }
  EXPECT_FALSE(IsCached(fd.get(), text.size()));
}

TEST(PageCache, AReaderSaysWhetherItsFileIsInMemory) {
  const TempFolder folder(TempFolder::OnDisk());
  std::ofstream(folder.path() + "/file", std::ios::binary) << RandomText(256 * kBlock, 1);
  for (const IoMode mode : {IoMode::kAuto, IoMode::kDirect, IoMode::kBuffered}) {
    const auto store = OpenAt(folder.path(), mode);
    ASSERT_RESULT(const ObjectInfo info, store->Stat("file"));
    ASSERT_RESULT(const std::unique_ptr<ObjectReader> reader, store->Open(info));
    EXPECT_EQ(reader->IsInMemory(), mode == IoMode::kAuto) << "the other modes were asked for";
  }
}

TEST(WriteBehind, TakesAnyNumberOfRanges) {
  const TempFolder folder(TempFolder::OnDisk());
  const Descriptor fd(open((folder.path() + "/file").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  const std::string text = RandomText(uint64_t{1} << 20U, 1);
  WriteBehind behind;
  for (uint64_t i = 0; i < 40; ++i) {
    ASSERT_EQ(WriteAllAt(fd.get(), BytesOf(text), i * text.size()).error, 0);
    ASSERT_EQ(behind.Wrote(fd.get(), {i * text.size(), (i + 1) * text.size()}), 0);
  }
  std::string first(text.size(), '\0');
  ASSERT_EQ(ReadAt(fd.get(), std::as_writable_bytes(std::span(first)), 0).error, 0);
  EXPECT_TRUE(first == text);
}

}  // namespace
}  // namespace ckpt
