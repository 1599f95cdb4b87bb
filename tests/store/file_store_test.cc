// What only file systems do. Nothing here needs root, nor fails as root.
#include "store/file/file_store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <filesystem>
#include <fstream>

#include "tests/store/store_test.h"
#include "tests/store/temp_folder.h"

namespace ckpt {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr uint64_t kBlock = kIoAlignment;

std::unique_ptr<Store> OpenAt(const std::string& path, IoMode mode = IoMode::kAuto) {
  return *OpenFileStore(*Uri::Parse(path), {.io_mode = mode});
}

void WriteFile(const std::string& path, std::string_view text) {
  std::ofstream(path, std::ios::binary) << text;
}

mode_t ModeOf(const std::string& path) {
  struct stat found {};
  return stat(path.c_str(), &found) == 0 ? found.st_mode & 07777U : 0;
}

class FileStoreTest : public testing::Test {
 protected:
  const std::string& path() const { return folder_.path(); }
  Store& store() { return *store_; }

 private:
  TempFolder folder_{TempFolder::OnDisk()};
  std::unique_ptr<Store> store_ = OpenAt(path());
};

TEST_F(FileStoreTest, RefusesOtherSchemes) {
  EXPECT_FAILS(Code::kUsage, OpenFileStore(*Uri::Parse("gs://bucket"), {}));
}

TEST_F(FileStoreTest, SaysThatARootIsAFile) {
  WriteFile(path() + "/file", "");
  const auto listed = OpenAt(path() + "/file")->List("");
  ASSERT_FALSE(listed.has_value());
  EXPECT_EQ(listed.error().code, Code::kBadInput);
  EXPECT_THAT(listed.error().Print(), HasSubstr("is a file, not a folder"));
}

TEST_F(FileStoreTest, FollowsLinksToFilesAsModelCachesHaveThem) {
  fs::create_directories(path() + "/snapshot");
  WriteFile(path() + "/blob", "text");
  fs::create_symlink("../blob", path() + "/snapshot/model.safetensors");
  const auto snapshot = OpenAt(path() + "/snapshot");
  EXPECT_EQ(NamesOf(*snapshot->List("")), std::vector<std::string>{"model.safetensors"});
  EXPECT_EQ(snapshot->ReadWhole("model.safetensors", 4), "text");
}

TEST_F(FileStoreTest, NamesTheMissingTargetOfALink) {
  fs::create_symlink("../blobs/0123", path() + "/model.safetensors");
  const auto found = store().Stat("model.safetensors");
  ASSERT_FALSE(found.has_value());
  EXPECT_EQ(found.error().code, Code::kNotFound);
  EXPECT_THAT(found.error().Print(), HasSubstr("../blobs/0123"));
}

TEST_F(FileStoreTest, ListsFoldersInACircleOnce) {
  fs::create_directories(path() + "/a");
  WriteFile(path() + "/a/file", "");
  fs::create_directory_symlink("..", path() + "/a/up");
  fs::create_symlink("self", path() + "/self");
  EXPECT_THAT(NamesOf(*store().List("")), ElementsAre("a/file"));
}

TEST_F(FileStoreTest, ListsHalfDoneFilesToo) {
  ASSERT_RESULT(const auto writer, store().Create("sequential", {}));
  ASSERT_RESULT(const auto positioned, store().CreatePositioned("positioned", 1, {}));
  const auto names = NamesOf(*store().List(""));
  ASSERT_EQ(names.size(), 2U);
  EXPECT_EQ(names[0], "positioned.part");
  EXPECT_THAT(names[1], testing::MatchesRegex("sequential\\.[0-9]+-[0-9a-f]+\\.tmp"));
}

// As another shard does that begins in the same folder.
TEST_F(FileStoreTest, WritesASmallFileOnceMoreWhereItsTemporaryOneIsRemoved) {
  const auto remove_temporary = [&] {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(path())) {
      if (entry.path().extension() == ".tmp") {
        const std::filesystem::path folder = entry.path().parent_path();
        std::filesystem::remove(entry.path());
        rmdir(folder.c_str());  // where that leaves it empty
        return true;
      }
    }
    return false;
  };
  for (const bool is_create_only : {true, false}) {
    const std::string name = is_create_only ? "state/new" : "state/any";
    ASSERT_RESULT(const auto writer, store().Create(name, {.is_create_only = is_create_only}));
    ASSERT_SUCCEEDS(writer->Append(BytesOf("te")));
    ASSERT_SUCCEEDS(writer->Append(BytesOf("xt")));
    ASSERT_TRUE(remove_temporary());
    ASSERT_RESULT(const ObjectInfo info, writer->Commit());
    EXPECT_EQ(info.size_bytes, 4U);
    EXPECT_EQ(store().ReadWhole(name, 4), "text");
  }
  ASSERT_RESULT(const auto late, store().Create("state/late", {}));
  ASSERT_SUCCEEDS(late->Append(BytesOf("text")));
  ASSERT_TRUE(remove_temporary());
  ASSERT_SUCCEEDS(WriteSmallObject(store(), "state/late", "other", {}));
  EXPECT_FAILS(Code::kCannotCreate, late->Commit());
  EXPECT_EQ(store().ReadWhole("state/late", 5), "other");
  ASSERT_RESULT(const auto large, store().Create("state/large", {}));
  ASSERT_SUCCEEDS(large->Append(BytesOf(RandomText(100'000, 1))));
  ASSERT_TRUE(remove_temporary());
  EXPECT_FAILS(Code::kCannotCreate, large->Commit());
}

TEST_F(FileStoreTest, StopsListing) {
  WriteFile(path() + "/file", "");
  std::stop_source stop;
  stop.request_stop();
  EXPECT_FAILS(Code::kInterrupted, store().List("", stop.get_token()));
}

TEST_F(FileStoreTest, WritesThroughNoLinkBelowTheRoot) {
  fs::create_directories(path() + "/elsewhere");
  fs::create_directory_symlink(path() + "/elsewhere", path() + "/link");
  EXPECT_FAILS(Code::kCannotCreate, store().Create("link/x", {}));
  EXPECT_FAILS(Code::kCannotCreate, store().Create("link/deeper/x", {}));
  EXPECT_FAILS(Code::kCannotCreate, store().CreatePositioned("link/x", 1, {}));
  EXPECT_FAILS(Code::kCannotCreate, store().Remove("link/x"));
  EXPECT_TRUE(fs::is_empty(path() + "/elsewhere"));
}

TEST_F(FileStoreTest, ReplacesALinkInsteadOfItsTarget) {
  WriteFile(path() + "/target", "kept");
  fs::create_symlink("target", path() + "/link");
  EXPECT_FAILS(Code::kCannotCreate, store().Create("link", {}));
  ASSERT_SUCCEEDS(WriteSmallObject(store(), "link", "new", {.is_create_only = false}));
  EXPECT_EQ(store().ReadWhole("target", 9), "kept");
  EXPECT_EQ(store().ReadWhole("link", 9), "new");
}

TEST_F(FileStoreTest, DoesNotFollowALinkPlantedAsPartFile) {
  WriteFile(path() + "/victim", "kept");
  fs::create_symlink("victim", path() + "/object.part");
  EXPECT_FAILS(Code::kCannotCreate, store().CreatePositioned("object", 1, {}));
  EXPECT_EQ(store().ReadWhole("victim", 9), "kept");
}

TEST_F(FileStoreTest, NamesTheFileThatStandsInPlaceOfAFolder) {
  WriteFile(path() + "/file", "");
  const auto created = store().Create("file/object", {});
  ASSERT_FALSE(created.has_value());
  EXPECT_EQ(created.error().code, Code::kCannotCreate);
  EXPECT_THAT(created.error().what, HasSubstr(path() + "/file\" is a file"));
  EXPECT_FAILS(Code::kCannotCreate, OpenAt(path() + "/file/root")->Create("object", {}));
}

TEST_F(FileStoreTest, SaysThatNothingCanBeMadeThere) {
  for (const std::string root : {"/proc/ckpt-test", "/sys/ckpt-test"}) {
    const auto created = OpenAt(root)->Create("object", {});
    ASSERT_FALSE(created.has_value());
    EXPECT_EQ(created.error().code, Code::kCannotCreate) << created.error().Print();
    EXPECT_THAT(created.error().what, HasSubstr(root));
    EXPECT_FALSE(created.error().remedy.empty());
  }
}

TEST_F(FileStoreTest, TellsHowToReplaceWhatExists) {
  WriteFile(path() + "/object", "");
  const auto created = store().Create("object", {});
  ASSERT_FALSE(created.has_value());
  EXPECT_THAT(created.error().Print(), HasSubstr("--overwrite"));
  EXPECT_THAT(created.error().Print(), HasSubstr(path() + "/object"));
}

TEST_F(FileStoreTest, RefusesToReplaceAFolder) {
  fs::create_directories(path() + "/folder");
  EXPECT_FAILS(Code::kCannotCreate, store().Create("folder", {.is_create_only = false}));
  EXPECT_FAILS(Code::kCannotCreate, store().Remove("folder"));
}

TEST_F(FileStoreTest, KeepsAFileThatAppearedBeforeCommit) {
  ASSERT_RESULT(auto writer, store().Create("sequential", {}));
  ASSERT_RESULT(auto positioned, store().CreatePositioned("positioned", 0, {}));
  WriteFile(path() + "/sequential", "other");
  WriteFile(path() + "/positioned", "other");
  EXPECT_FAILS(Code::kCannotCreate, writer->Commit());
  EXPECT_FAILS(Code::kCannotCreate, positioned->Commit());
  writer.reset();
  positioned.reset();
  EXPECT_THAT(NamesOf(*store().List("")), ElementsAre("positioned", "sequential"));
  EXPECT_EQ(store().ReadWhole("positioned", 9), "other");
}

TEST_F(FileStoreTest, TakesNamesAsLongAsTheFileSystemDoes) {
  const std::string name(255, 'x');
  ASSERT_SUCCEEDS(WriteSmallObject(store(), name, "text", {}));
  EXPECT_EQ(store().ReadWhole(name, 4), "text");
}

TEST_F(FileStoreTest, SubtractsTheUmask) {
  const mode_t before = umask(027);
  const auto sequential = WriteSmallObject(store(), "folder/sequential", "", {});
  const auto positioned = store().CreatePositioned("folder/positioned", 1, {});
  umask(before);
  ASSERT_SUCCEEDS(sequential);
  ASSERT_TRUE(positioned.has_value());
  ASSERT_SUCCEEDS((*positioned)->Commit());
  EXPECT_EQ(ModeOf(path() + "/folder/sequential"), 0640U);
  EXPECT_EQ(ModeOf(path() + "/folder/positioned"), 0640U);
  EXPECT_EQ(ModeOf(path() + "/folder"), 0750U);
}

TEST_F(FileStoreTest, RemovesTheFoldersItMadeForAbandonedWriters) {
  fs::create_directories(path() + "/before/theirs");
  {
    const auto below = OpenAt(path() + "/before/made/root");
    ASSERT_RESULT(const auto writer, below->Create("a/b/object", {}));
    ASSERT_RESULT(const auto positioned, below->CreatePositioned("a/c/object", 1, {}));
    EXPECT_TRUE(fs::exists(path() + "/before/made/root/a/b"));
  }
  EXPECT_FALSE(fs::exists(path() + "/before/made"));
  {
    const auto theirs = OpenAt(path() + "/before/theirs");
    ASSERT_RESULT(const auto writer, theirs->Create("object", {}));
  }
  EXPECT_TRUE(fs::exists(path() + "/before/theirs"));
  { ASSERT_RESULT(const auto writer, store().Create("before/theirs/made/object", {})); }
  EXPECT_FALSE(fs::exists(path() + "/before/theirs/made"));
  EXPECT_TRUE(fs::exists(path() + "/before/theirs"));
}

TEST_F(FileStoreTest, RemovesEmptyFoldersWithTheirLastFileButNotTheRoot) {
  ASSERT_SUCCEEDS(WriteSmallObject(store(), "a/b/object", "", {}));
  ASSERT_SUCCEEDS(store().Remove("a/b/object"));
  EXPECT_FALSE(fs::exists(path() + "/a"));
  EXPECT_TRUE(fs::exists(path()));
}

TEST_F(FileStoreTest, KeepsWhatAnotherProcessWroteIntoThePartFile) {
  WriteFile(path() + "/object.part", "theirs");
  ASSERT_RESULT(const auto writer, store().CreatePositioned("object", 6, {}));
  ASSERT_SUCCEEDS(writer->WriteAt(0, BytesOf("OU")).get());
  ASSERT_SUCCEEDS(writer->Commit());
  EXPECT_EQ(store().ReadWhole("object", 6), "OUeirs");
}

TEST_F(FileStoreTest, CutsAPartFileOfAnotherPlan) {
  WriteFile(path() + "/object.part", "much longer than that");
  ASSERT_RESULT(const auto writer, store().CreatePositioned("object", 4, {}));
  ASSERT_SUCCEEDS(writer->WriteAt(0, BytesOf("text")).get());
  ASSERT_SUCCEEDS(writer->Commit());
  EXPECT_EQ(store().ReadWhole("object", 9), "text");
}

TEST_F(FileStoreTest, NeitherCommitsNorRemovesAPartFileThatIsNotItsOwn) {
  ASSERT_RESULT(auto writer, store().CreatePositioned("object", 4, {}));
  fs::remove(path() + "/object.part");
  WriteFile(path() + "/object.part", "foreign");
  EXPECT_FAILS(Code::kCannotCreate, writer->Commit());
  writer.reset();
  EXPECT_THAT(NamesOf(*store().List("")), ElementsAre("object.part"));
}

class FileStoreModes : public testing::TestWithParam<IoMode> {};

TEST_P(FileStoreModes, NoticeThatAFileWasCutWhileReading) {
  const TempFolder folder(TempFolder::OnDisk());
  const std::string file = folder.path() + "/file";
  WriteFile(file, RandomText(4 * kBlock, 1));
  const auto store = OpenAt(folder.path(), GetParam());
  ASSERT_RESULT(const auto reader, store->Open(*store->Stat("file")));
  fs::resize_file(file, kBlock + 100);
  EXPECT_THAT(ErrorOf(ReadBulk(*reader, {2 * kBlock + 5, 3 * kBlock})),
              HasSubstr("ends at byte 4196, 12288 expected"));
  const auto read = ReadBulk(*reader, {100, 3 * kBlock});
  ASSERT_FALSE(read.has_value());
  EXPECT_EQ(read.error().code, Code::kBadInput);
  EXPECT_THAT(read.error().Print(), HasSubstr("ends at byte 4196, 12288 expected"));
  EXPECT_THAT(read.error().where, ElementsAre(Place{"byte", "[100, 12288)"}, Place{"file", file}));
}

TEST_P(FileStoreModes, NoticeThatAFileWasChangedWhileReading) {
  const TempFolder folder(TempFolder::OnDisk());
  const std::string file = folder.path() + "/file";
  WriteFile(file, RandomText(2 * kBlock, 1));
  const auto store = OpenAt(folder.path(), GetParam());
  ASSERT_RESULT(const auto reader, store->Open(*store->Stat("file")));
  fs::last_write_time(file, fs::last_write_time(file) + std::chrono::seconds(1));
  EXPECT_FAILS(Code::kBadInput, ReadBulk(*reader, {0, kBlock}));
  EXPECT_FAILS(Code::kBadInput, ReadSmall(*reader, {0, 1}));
}

TEST_P(FileStoreModes, MoveMoreThanOneTransferAtATime) {
  const TempFolder folder(TempFolder::OnDisk());
  const uint64_t size = (uint64_t{17} << 20U) + 4099;
  AlignedMemory memory(size + kBlock);
  const std::string text = RandomText(size, 5);
  std::memcpy(memory.span().data(), text.data(), size);
  const auto store = OpenAt(folder.path(), GetParam());
  ASSERT_RESULT(const auto writer, store->CreatePositioned("object", size, {}));
  ASSERT_SUCCEEDS(writer->WriteAt(0, memory.span().first(size)).get());
  ASSERT_SUCCEEDS(writer->Commit());
  ASSERT_RESULT(const auto reader, store->Open(*store->Stat("object")));
  const auto read = ReadBulk(*reader, {0, size});
  ASSERT_TRUE(read.has_value()) << ErrorOf(read);
  EXPECT_TRUE(*read == text);
}

std::string NameOf(const testing::TestParamInfo<IoMode>& mode) {
  constexpr std::array<const char*, 3> names = {"Auto", "Direct", "Buffered"};
  return names.at(static_cast<size_t>(mode.param));
}

INSTANTIATE_TEST_SUITE_P(All, FileStoreModes,
                         testing::Values(IoMode::kAuto, IoMode::kDirect, IoMode::kBuffered),
                         NameOf);

}  // namespace
}  // namespace ckpt
