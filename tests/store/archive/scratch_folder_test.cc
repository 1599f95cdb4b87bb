#include "store/archive/scratch_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <future>

#include "tests/store/temp_folder.h"

namespace ckpt {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using Folder = std::unique_ptr<ScratchFolder>;

constexpr const char* kName = "kaggle/org/model/2";

class ScratchDisk : public testing::Test {
 protected:
  Result<Folder> TryTake(const std::string& identity = "x") {
    return ScratchFolder::Take(path_, kName, identity, stop_.get_token(), [&] { ++waits_; });
  }
  Folder Take(const std::string& identity = "x") {
    Result<Folder> folder = TryTake(identity);
    if (!folder) throw std::runtime_error(folder.error().Print());
    return *std::move(folder);
  }
  Folder TakeAndFill(const std::string& identity = "x") {
    Folder folder = Take(identity);
    EXPECT_FALSE(folder->is_filled());
    EXPECT_TRUE(WriteSmallObject(folder->files(), "d/a", "text", {}));
    EXPECT_TRUE(folder->SetFilled());
    return folder;
  }
  // As a process that is killed leaves it: nobody holds it, and everything is there.
  void Leave(const std::string& identity) {
    const Folder folder = TakeAndFill(identity);
    fs::copy(Place(), path_ + "/kept", fs::copy_options::recursive);
  }
  void PutBack() {
    fs::create_directories(fs::path(Place()).parent_path());
    fs::rename(path_ + "/kept", Place());
  }
  std::string Place() const { return path_ + "/" + kName; }

  const TempFolder folder_;
  const std::string path_ = folder_.path() + "/scratch";
  std::stop_source stop_;
  std::atomic<int> waits_ = 0;
};

TEST_F(ScratchDisk, IsEmptyAgainWhenTheFolderEnds) {
  {
    const Folder folder = TakeAndFill();
    EXPECT_TRUE(folder->is_filled());
    EXPECT_EQ(*folder->files().ReadWhole("d/a", 10), "text");
    EXPECT_TRUE(fs::exists(Place()));
  }
  EXPECT_TRUE(fs::is_empty(path_));
  Take();  // and is never filled
  EXPECT_TRUE(fs::is_empty(path_));
}

TEST_F(ScratchDisk, KeepsWhatIsNotOurs) {
  fs::create_directories(path_ + "/kaggle/other");
  TakeAndFill();
  EXPECT_TRUE(fs::exists(path_ + "/kaggle/other"));
  EXPECT_FALSE(fs::exists(path_ + "/kaggle/org"));
}

TEST_F(ScratchDisk, IsSharedByAllWhoWantTheSame) {
  Folder first = TakeAndFill();
  Folder second = Take();
  EXPECT_TRUE(second->is_filled());
  first.reset();
  EXPECT_EQ(*second->files().ReadWhole("d/a", 10), "text");
  second.reset();
  EXPECT_TRUE(fs::is_empty(path_));
}

TEST_F(ScratchDisk, WaitsWhileAnotherFillsIt) {
  Folder first = Take();
  std::future<Folder> second = std::async(std::launch::async, [&] { return Take(); });
  while (waits_ == 0) std::this_thread::yield();
  EXPECT_TRUE(WriteSmallObject(first->files(), "d/a", "text", {}));
  EXPECT_TRUE(first->SetFilled());
  EXPECT_TRUE(second.get()->is_filled());
}

TEST_F(ScratchDisk, IsFilledByTheNextWhereTheFirstGaveUp) {
  Folder first = Take();
  EXPECT_TRUE(WriteSmallObject(first->files(), "half", "text", {}));
  std::future<Folder> second = std::async(std::launch::async, [&] { return Take(); });
  while (waits_ == 0) std::this_thread::yield();
  first.reset();
  const Folder taken = second.get();
  EXPECT_FALSE(taken->is_filled());
  EXPECT_TRUE(taken->files().List("")->empty());
}

TEST_F(ScratchDisk, StopsWaiting) {
  const Folder first = Take();
  std::future<Result<Folder>> second = std::async(std::launch::async, [&] { return TryTake(); });
  while (waits_ == 0) std::this_thread::yield();
  stop_.request_stop();
  EXPECT_EQ(second.get().error().code, Code::kInterrupted);
}

TEST_F(ScratchDisk, TakesWhatAKilledProcessFilled) {
  Leave("x");
  PutBack();
  const Folder folder = Take("x");
  EXPECT_TRUE(folder->is_filled());
  EXPECT_EQ(*folder->files().ReadWhole("d/a", 10), "text");
}

TEST_F(ScratchDisk, EmptiesWhatIsAnother) {
  Leave("x");
  PutBack();
  const Folder folder = Take("y");
  EXPECT_FALSE(folder->is_filled());
  EXPECT_TRUE(folder->files().List("")->empty());
}

TEST_F(ScratchDisk, EmptiesWhatIsNotWhole) {
  Leave("x");
  fs::remove(path_ + "/kept/files/d/a");
  PutBack();
  EXPECT_FALSE(Take("x")->is_filled());
  Leave("x");
  fs::remove(path_ + "/kept/filled");
  PutBack();
  EXPECT_FALSE(Take("x")->is_filled());
  EXPECT_TRUE(fs::is_empty(path_));
}

TEST_F(ScratchDisk, GoesThroughNoLink) {
  fs::create_directories(path_);
  fs::create_directory_symlink(folder_.path(), path_ + "/kaggle");
  const Result<Folder> taken = TryTake();
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().code, Code::kCannotCreate);
  EXPECT_THAT(taken.error().remedy, HasSubstr("--scratch"));
}

TEST_F(ScratchDisk, IsNoFile) {
  std::ofstream(path_) << "x";
  const Result<Folder> taken = TryTake();
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().code, Code::kCannotCreate);
  EXPECT_TRUE(FreeBytes(folder_.path() + "/not/there").has_value());
}

}  // namespace
}  // namespace ckpt
