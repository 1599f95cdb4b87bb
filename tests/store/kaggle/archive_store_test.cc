// Versions that come as one archive only.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "store/archive/unpack.h"
#include "tests/store/kaggle/kaggle_stub.h"
#include "tests/store/window.h"

namespace ckpt {
namespace {

using testing::HasSubstr;

class KaggleArchiveStub : public KaggleStub {
 protected:
  void StartArchive(std::vector<std::string> more = {}) {
    more.emplace_back("--archive-only");
    Start(std::move(more));
    options_.scratch.folder = scratch_;
    options_.scratch.budget = &budget_;
    options_.scratch.tell = [&](std::string_view words) { told_.emplace_back(words); };
  }
  // Its archive is this, whatever it is.
  void StartWith(const std::string& archive) {
    const std::string path = folder_.path() + "/archive";
    WriteText(path, archive);
    StartArchive({"--archive", "google/gemma/maxText/7b-it/2=" + path});
  }
  // Enough for several requests of the archive.
  void MakeLarge() {
    uint64_t state = 1;
    weights_large_.resize(24 << 20);
    for (char& byte : weights_large_) {
      state = state * 6364136223846793005ULL + 1442695040888963407ULL;
      byte = static_cast<char>(state >> 56U);
    }
    WriteText(Version(2) / "large", weights_large_);
  }
  int Applied() {
    int applied = 0;
    for (const nlohmann::json& rule : ParseJson(stub_->Get("/_stub/faults")))
      applied += rule["applied"].get<int>();
    return applied;
  }
  bool IsScratchEmpty() const {
    return !std::filesystem::exists(scratch_) || std::filesystem::is_empty(scratch_);
  }

  const std::string scratch_ = folder_.path() + "/scratch";
  MemoryBudget budget_{UnpackMemoryBytes()};
  std::vector<std::string> told_;
  std::string weights_large_;
};

TEST_F(KaggleArchiveStub, NamesTheBytesAndTheVolumeWhereNoScratchIsNamed) {
  StartArchive();
  options_.scratch.folder.clear();
  const Error error = Refused();
  EXPECT_EQ(error.code, Code::kCannotCreate);
  // What the service says of the version, unpacked: more than the archive has.
  EXPECT_THAT(error.what, HasSubstr("needs 300017 bytes"));
  EXPECT_THAT(error.remedy, HasSubstr("--scratch DIR"));
  EXPECT_THAT(error.Print(), HasSubstr("storage: 1Gi"));
  EXPECT_THAT(error.Print(), HasSubstr("mountPath: /scratch"));
  EXPECT_THAT(error.Print(), HasSubstr("\n    - --scratch=/scratch"));
}

TEST_F(KaggleArchiveStub, ReadsFilesFromTheScratchDiskAndRemovesThem) {
  StartArchive();
  {
    const std::unique_ptr<Store> store = Opened();
    EXPECT_EQ(store->root().Print(), "kaggle://google/gemma/maxText/7b-it/2");
    std::vector<std::string> names;
    names.reserve(4);
    const std::vector<ObjectInfo> infos = *store->List("");
    for (const ObjectInfo& info : infos) names.push_back(info.name);
    EXPECT_THAT(names, testing::ElementsAre("7b-it/d/a b+c", "7b-it/empty", "7b-it/manifest.ocdbt",
                                            "tokenizer.model"));
    EXPECT_EQ(*store->ReadWhole("7b-it/manifest.ocdbt", 100), manifest_);
    const auto reader = *store->Open(*store->Stat("7b-it/d/a b+c"));
    EXPECT_EQ(ReadThroughWindow(*reader, {5, 299'000}), weights_.substr(5, 298'995));
    EXPECT_EQ(store->Create("a", {}).error().code, Code::kUsage);
    EXPECT_FALSE(IsScratchEmpty());
    EXPECT_THAT(told_.at(0), HasSubstr("as one archive of"));
  }
  EXPECT_TRUE(IsScratchEmpty());
  EXPECT_EQ(budget_.used_bytes(), 0);
  EXPECT_EQ(Requests("/kaggle-models-data/").second, 0);  // no credentials for the storage
}

// So that a conversion that was stopped goes on after another unpacking.
TEST_F(KaggleArchiveStub, TellsTheSameGenerationEveryTime) {
  StartArchive();
  const Generation first = Opened()->Stat("tokenizer.model")->generation;
  const Generation second = Opened()->Stat("tokenizer.model")->generation;
  EXPECT_EQ(first, second);
  EXPECT_THAT(first.value, HasSubstr("md5"));
  WriteText(Version(2) / "tokenizer.model", "others");
  stub_.reset();
  StartArchive();
  EXPECT_NE(Opened()->Stat("tokenizer.model")->generation, first);
}

TEST_F(KaggleArchiveStub, FetchesOnceWhatSeveralOpen) {
  StartArchive();
  const std::unique_ptr<Store> first = Opened();
  const int requests = Requests("/kaggle-models-data/").first;
  const std::unique_ptr<Store> second = Opened();
  EXPECT_EQ(Requests("/kaggle-models-data/").first, requests + 1);  // is it the same one?
  EXPECT_THAT(told_.back(), HasSubstr("is taken"));
  EXPECT_EQ(*second->ReadWhole("tokenizer.model", 100), "tokens");
}

TEST_F(KaggleArchiveStub, GoesOnWhereAConnectionBroke) {
  MakeLarge();
  StartArchive();
  stub_->Script(
      R"([{"path": "^/kaggle-models-data/", "range_matches": "bytes=[0-9]{2,}", "times": 3,
                     "cut_after": 1000000}])");
  EXPECT_EQ(*Opened()->ReadWhole("large", 32 << 20), weights_large_);
  EXPECT_EQ(Applied(), 3);
}

TEST_F(KaggleArchiveStub, SignsAgainWhatExpired) {
  MakeLarge();
  StartArchive();
  stub_->Script(
      R"([{"path": "^/kaggle-models-data/", "range_matches": "bytes=20971520", "times": 1, "expired": true}])");
  EXPECT_EQ(*Opened()->ReadWhole("large", 32 << 20), weights_large_);
  EXPECT_EQ(Applied(), 1);
  EXPECT_EQ(Requests("DownloadModelInstanceVersion").first,
            3);  // is there one, the first, the next
}

TEST_F(KaggleArchiveStub, RefusesAnArchiveWithAnotherSum) {
  StartArchive();
  // One byte of it is another one, and the storage tells the sum of the right ones.
  stub_->Script(R"([{"path": "^/kaggle-models-data/", "hash": "crc32c=AAAAAA=="}])");
  const Error error = Refused();
  EXPECT_EQ(error.code, Code::kBadInput);
  EXPECT_THAT(error.what, HasSubstr("CRC-32C"));
  EXPECT_TRUE(IsScratchEmpty());
}

TEST_F(KaggleArchiveStub, NamesAnArchiveThatIsNone) {
  StartWith("no archive at all");
  const Error error = Refused();
  EXPECT_EQ(error.code, Code::kBadInput);
  EXPECT_THAT(error.Print(), HasSubstr("kaggle://google/gemma/maxText/7b-it/2/archive"));
  EXPECT_EQ(error.Print().find("X-Goog"), std::string::npos);
  EXPECT_TRUE(IsScratchEmpty());
}

TEST_F(KaggleArchiveStub, HasNoMoreBytesThanItMay) {
  StartArchive();
  options_.scratch.most_archive_bytes = 100'000;
  EXPECT_THAT(Refused().what, HasSubstr("more than the 100000 bytes"));
  EXPECT_TRUE(IsScratchEmpty());
}

// 8 EiB of holes: no disk has room for them.
TEST_F(KaggleArchiveStub, SaysThatTheDiskIsTooSmallBeforeTheFirstByte) {
  WriteText(Version(2) / "huge", "");
  std::filesystem::resize_file(Version(2) / "huge", 7ULL << 40U);
  StartWith("whatever");
  const Error error = Refused();
  EXPECT_EQ(error.code, Code::kCannotCreate);
  EXPECT_THAT(error.what, HasSubstr("needs 769"));
  EXPECT_THAT(error.remedy, HasSubstr("--scratch"));
  EXPECT_EQ(Requests("/kaggle-models-data/").first, 1);  // its first byte, for its size
  EXPECT_TRUE(IsScratchEmpty());
}

TEST_F(KaggleArchiveStub, KeepsToTheBudget) {
  StartArchive();
  MemoryBudget small(1 << 20);
  options_.scratch.budget = &small;
  EXPECT_EQ(Refused().code, Code::kResources);
  EXPECT_TRUE(IsScratchEmpty());
}

}  // namespace
}  // namespace ckpt
