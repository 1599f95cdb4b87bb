#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <filesystem>
#include <fstream>

#include "cli/output_lock.h"
#include "cli/state_place.h"
#include "cli/verbs.h"
#include "run/journal.h"
#include "store/file/file_store.h"
#include "tests/read_file.h"
#include "tests/store/temp_folder.h"
#include "tests/unit/run/state_store.h"

namespace ckpt {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

// `ckpt status` and `ckpt clean` on a folder of this machine.
class StateVerbs : public testing::Test {
 protected:
  struct Ended {
    Code code{};  // 0: well
    std::string what;
    std::string remedy;
    std::string out;
  };

  Ended Do(std::vector<std::string> words) const {
    CLI::App root;
    const std::unique_ptr<Verb> status = AddStatus(root);
    const std::unique_ptr<Verb> clean = AddClean(root);
    std::reverse(words.begin(), words.end());
    root.parse(words);
    testing::internal::CaptureStdout();
    const Result<void> result = (status->options.is_chosen() ? status : clean)->Run();
    std::fflush(stdout);
    Ended ended;
    ended.out = testing::internal::GetCapturedStdout();
    if (!result) {
      ended.code = result.error().code;
      ended.what = result.error().what;
      ended.remedy = result.error().remedy;
    }
    return ended;
  }

  // Lays out on the disk what a store in memory holds.
  void Lay(StateStore& store) const {
    for (const auto& [name, bytes] : store.All()) Write(name, bytes);
  }
  void Write(const std::string& name, const std::string& bytes) const {
    const fs::path path = fs::path(out()) / name;
    fs::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary) << bytes;
  }
  void LayUnfinished() const {
    StateStore store(true);
    const Mark mark = MarkOfThree(true);
    PutMark(store, mark);
    PutRecord(store, 1);
    PutNote(store, {.state = "stopped"});
    for (const std::string& folder : mark.folders) store.Put(folder + "/items/d/1", "data");
    Lay(store);
  }
  std::vector<std::string> Names() const {
    std::vector<std::string> names;
    if (!fs::exists(out())) return names;
    for (const auto& entry : fs::recursive_directory_iterator(out()))
      names.push_back(fs::relative(entry.path(), out()));
    return names;
  }
  std::string out() const { return folder_.path() + "/out"; }
  std::unique_ptr<Store> Open() const { return *OpenFileStore(*Uri::Parse(out())); }

  TempFolder folder_;
};

TEST_F(StateVerbs, WhereNothingBeganIsNotFound) {
  for (const std::string verb : {"status", "clean"}) {
    EXPECT_EQ(Do({verb, out()}).code, Code::kNotFound) << "no folder";
    EXPECT_EQ(Do({verb, "null:"}).code, Code::kUsage);
  }
  fs::create_directory(out());
  Write("notes.txt", "mine");
  for (const std::string verb : {"status", "clean"})
    EXPECT_EQ(Do({verb, out()}).code, Code::kNotFound);
  EXPECT_THAT(Names(), ElementsAre("notes.txt")) << "not even a lock's folder is made";
}

TEST_F(StateVerbs, ARunIsFoundByItsFolderAndByItsOutputs) {
  LayUnfinished();
  const std::vector<std::string> before = Names();
  for (const std::string below : {"", "/", "/int8", "/bf16", "/bf16/scanned/0/items"}) {
    const Ended ended = Do({"status", out() + below});
    EXPECT_EQ(ended.what, "") << below;
    EXPECT_THAT(ended.out, HasSubstr("stopped, 1 of 10 bundles are done")) << below;
  }
  EXPECT_EQ(Do({"status", out() + "/elsewhere"}).code, Code::kNotFound);
  EXPECT_EQ(Do({"status", folder_.path()}).code, Code::kNotFound) << "above it";
  EXPECT_EQ(Names(), before);
}

TEST_F(StateVerbs, CleanTakesTheWholeRunOnlyByItsOwnFolder) {
  LayUnfinished();
  const Ended ended = Do({"clean", out() + "/int8"});
  EXPECT_EQ(ended.code, Code::kNotFound);
  EXPECT_THAT(ended.remedy, HasSubstr("has its state in " + out()));
  EXPECT_TRUE(fs::exists(out() + "/.ckpt-state/state.json"));
}

TEST_F(StateVerbs, CleanLeavesNoFolderBehindButTheDestination) {
  LayUnfinished();
  fs::create_directories(out() + "/int8.orbax-checkpoint-tmp-7/empty/deep");
  fs::create_directories(out() + "/.ckpt-state/tmp");
  Write(".ckpt-state/lock", "");  // of a killed run
  const Ended ended = Do({"clean", out()});
  EXPECT_EQ(ended.what, "");
  EXPECT_THAT(ended.out, HasSubstr("removed 6 objects"));
  EXPECT_THAT(Names(), IsEmpty());
  EXPECT_TRUE(fs::exists(out()));
}

TEST_F(StateVerbs, ADryRunMakesNotEvenALock) {
  LayUnfinished();
  const std::vector<std::string> before = Names();
  const Ended ended = Do({"clean", out(), "--dry-run"});
  EXPECT_EQ(ended.what, "");
  EXPECT_THAT(ended.out, HasSubstr("would remove 6 objects"));
  EXPECT_THAT(Names(), testing::UnorderedElementsAreArray(before));
}

TEST_F(StateVerbs, WhileItsLockIsHeldARunIsAtWork) {
  for (const bool is_shard : {false, true}) {
    LayUnfinished();
    const auto store = Open();
    EXPECT_FALSE(OutputLock::IsHeld(*store, ""));
    {
      const auto lock = OutputLock::Take(*store, "", is_shard);
      ASSERT_TRUE(lock);
      EXPECT_TRUE(OutputLock::IsHeld(*store, ""));
      for (const char* option : {"--json", "--dry-run"}) {
        const Ended ended = Do({"clean", out(), option});
        EXPECT_EQ(ended.code, Code::kTemporary);
        EXPECT_THAT(ended.remedy, HasSubstr("--force"));
        EXPECT_TRUE(fs::exists(out() + "/int8.orbax-checkpoint-tmp-7/items/d/1"));
      }
      const Ended forced = Do({"clean", out(), "--force"});
      EXPECT_EQ(forced.what, "");
      EXPECT_FALSE(fs::exists(out() + "/.ckpt-state/state.json"));
    }
  }
  EXPECT_FALSE(OutputLock::IsHeld(*Open(), ""));
}

TEST_F(StateVerbs, OfRunsThatShareAFolderTheOneAtWorkStays) {
  StateStore store(true);
  Mark mark = MarkOfThree(true);
  PutMark(store, mark, 3600, "dead");
  mark.folders = {"busy.orbax-checkpoint-tmp-7"};
  mark.done = {"busy/_CHECKPOINT_METADATA"};
  mark.files = {};
  PutMark(store, mark, 3600, "busy");
  store.Put("busy.orbax-checkpoint-tmp-7/d/1", "data");
  Lay(store);
  const auto lock = OutputLock::Take(*Open(), "busy", false);
  ASSERT_TRUE(lock);
  const Ended ended = Do({"clean", out()});
  EXPECT_EQ(ended.code, Code::kTemporary);
  EXPECT_THAT(ended.out, HasSubstr("run dead: removed 1 object"));
  EXPECT_TRUE(fs::exists(out() + "/.ckpt-state/busy/state.json"));
  EXPECT_TRUE(fs::exists(out() + "/busy.orbax-checkpoint-tmp-7/d/1"));
  EXPECT_FALSE(fs::exists(out() + "/.ckpt-state/dead"));
}

}  // namespace
}  // namespace ckpt
