#include "run/unfinished_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/run/tiny_hf.h"
#include "tests/unit/source/memory_store.h"

namespace ckpt {
namespace {

using testing::SizeIs;

const std::string kNote = StateFolder("") + "/" + std::string(kUnfinishedName);

Plan PlanOfSeveral(const std::shared_ptr<MemoryStore>& source) {
  auto plan = MakeTinyHfPlan(source, {});
  EXPECT_TRUE(plan) << plan.error().Print();
  return *std::move(plan);
}

class UnfinishedFilesTest : public testing::Test {
 protected:
  UnfinishedFilesTest() {
    TinyLlama{}.WriteTo(*source_);
    plan_ = PlanOfSeveral(source_);
  }
  Journal MakeJournal() { return {store_, plan_.run_digest, "", 3}; }

  std::shared_ptr<MemoryStore> source_ = std::make_shared<MemoryStore>();
  MemoryStore store_;
  Plan plan_;
};

TEST(ReadUnfinished, TellsOfEachFile) {
  MemoryStore store;
  EXPECT_EQ(ReadUnfinished(store, "").error().code, Code::kNotFound);
  store.Put(kNote, R"({"files": [{"object": "a", "size": 1, "session": "s"},
                                {"object": "b", "size": 2, "session": "t"}]})");
  const auto files = ReadUnfinished(store, "");
  ASSERT_TRUE(files) << files.error().Print();
  ASSERT_THAT(*files, SizeIs(2));
  EXPECT_EQ((*files)[1].object, "b");
  EXPECT_EQ((*files)[1].session, "t");
}

TEST(ReadUnfinished, ADamagedNoteIsNoNote) {
  for (const char* text :
       {"", "{", "null", "[]", "{}", R"({"files": []})", R"({"files": {}})", R"({"files": [1]})",
        R"({"files": [{"object": "a"}]})", R"({"files": [{"object": "a", "session": ""}]})",
        R"({"files": [{"object": "a", "session": 7}]})",
        R"({"files": [{"object": "../a", "session": "s"}]})",
        R"({"files": [{"object": "/a", "session": "s"}]})",
        R"({"files": [{"object": "", "session": "s"}]})",
        R"({"files": [{"object": "a", "session": "s"}, {"object": "b"}]})",
        R"({"object": "a", "session": "s"})"}) {
    MemoryStore store;
    store.Put(kNote, text);
    const auto files = ReadUnfinished(store, "");
    ASSERT_FALSE(files) << text;
    EXPECT_EQ(files.error().code, Code::kIo) << text;
    EXPECT_NE(files.error().remedy.find("ckpt clean"), std::string::npos);
    EXPECT_TRUE(DropUnfinishedFiles(store, "")) << "it leads nowhere";
  }
}

TEST_F(UnfinishedFilesTest, OneNoteTellsOfAll) {
  Journal journal = MakeJournal();
  const auto opened = OpenUnfinishedFiles(store_, journal, plan_);
  ASSERT_TRUE(opened) << opened.error().Print();
  EXPECT_EQ(opened->sessions.size(), plan_.output.files.size());
  const auto noted = ReadUnfinished(store_, "");
  ASSERT_TRUE(noted);
  ASSERT_EQ(noted->size(), plan_.output.files.size());
  for (size_t i = 0; i < noted->size(); ++i)
    EXPECT_EQ((*noted)[i].object, plan_.output.files[i].name);
}

TEST_F(UnfinishedFilesTest, AFileThatIsWholeTakesNothingAndTheOthersGoOn) {
  Journal journal = MakeJournal();
  ASSERT_TRUE(OpenUnfinishedFiles(store_, journal, plan_));
  const FileSpec& first = plan_.output.files[0];
  ASSERT_TRUE(store_.DropUnfinished(first.name, "memory"));
  const std::string bytes(first.size_bytes, 'w');
  store_.Put(first.name, bytes);
  const auto again = OpenUnfinishedFiles(store_, journal, plan_);
  ASSERT_TRUE(again) << again.error().Print();
  const auto writer = again->files->Open(0);
  ASSERT_TRUE(writer) << writer.error().Print();
  const std::string other = "other bytes";
  EXPECT_TRUE((*writer)->WriteAt(0, std::as_bytes(std::span(other))).get());
  EXPECT_TRUE((*writer)->Commit());
  EXPECT_EQ(store_.Get(first.name), bytes);
  ASSERT_TRUE(again->files->Open(1));
}

TEST_F(UnfinishedFilesTest, WhereOneIsLostAllBeginAnew) {
  Journal journal = MakeJournal();
  ASSERT_TRUE(OpenUnfinishedFiles(store_, journal, plan_));
  BundleRecord record;
  record.number = 1;
  ASSERT_TRUE(journal.Put(record));
  ASSERT_EQ(journal.List()->size(), 1U);
  ASSERT_TRUE(OpenUnfinishedFiles(store_, journal, plan_));
  EXPECT_EQ(journal.List()->size(), 1U) << "all are there: what was done counts";
  ASSERT_TRUE(store_.DropUnfinished(plan_.output.files[1].name, "memory"));
  const auto again = OpenUnfinishedFiles(store_, journal, plan_);
  ASSERT_TRUE(again) << again.error().Print();
  EXPECT_TRUE(journal.List()->empty());
  EXPECT_EQ(ReadUnfinished(store_, "")->size(), plan_.output.files.size());
}

TEST_F(UnfinishedFilesTest, OneOfAnotherSizeIsNotWhole) {
  Journal journal = MakeJournal();
  ASSERT_TRUE(OpenUnfinishedFiles(store_, journal, plan_));
  const FileSpec& first = plan_.output.files[0];
  ASSERT_TRUE(store_.DropUnfinished(first.name, "memory"));
  store_.Put(first.name, "somebody's");
  const auto again = OpenUnfinishedFiles(store_, journal, plan_);
  ASSERT_FALSE(again);
  EXPECT_EQ(store_.Get(first.name), "somebody's");
}

}  // namespace
}  // namespace ckpt
