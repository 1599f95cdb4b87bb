#include "store/meta/meta_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>

#include "base/json_text.h"
#include "base/message_digest.h"
#include "tests/store/temp_folder.h"
#include "tests/store/window.h"
#include "tests/stubs/started.h"

namespace ckpt {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

constexpr uint64_t kSize = 6'000'001;
constexpr uint64_t kStep = 500'000;

std::string Weights() {
  std::string text(kSize, '\0');
  for (size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>(i * 2654435761U >> 13U);
  return text;
}

/// A link to one model of one rank.
class MetaStub : public testing::Test {
 protected:
  MetaStub() {
    Write("consolidated.00.pth", weights_);
    Write("params.json", "{}");
    Write("tokenizer.model", "tokens");
    Write("checklist.chk", Md5Hex(weights_) + "  consolidated.00.pth\n" + Md5Hex("{}") +
                               "  params.json\n" + Md5Hex("tokens") + "  tokenizer.model\n");
  }
  void Write(const std::string& name, const std::string& text,
             const std::string& folder = "Meta-Llama-3-8B") {
    const fs::path path = fs::path(folder_.path()) / folder / name;
    fs::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary) << text;
  }
  void Start(std::vector<std::string> more = {}) {
    more.insert(more.end(), {"--folder", folder_.path()});
    stub_.emplace("meta", more);
    link_ = Secret(stub_->Address("link"));
    http::EngineOptions engine;
    engine.first_delay = std::chrono::milliseconds(1);
    engine.deadline = std::chrono::milliseconds(1000);
    options_.engine = *http::Engine::Make(engine);
    options_.now = 1'000;
    options_.reading.window_bytes = 2'000'000;
    options_.reading.most_gap_bytes = 1'000'000;
  }
  Result<std::unique_ptr<Store>> Open(const std::string& model = "Meta-Llama-3-8B") {
    CKPT_TRY(const MetaLink link, MetaLink::Parse(link_));
    return OpenMetaStore(link, *FolderOfModel(model), options_);
  }
  std::unique_ptr<ObjectReader> OpenedWeights() {
    Result<std::unique_ptr<Store>> store = Open();
    if (!store) throw std::runtime_error(store.error().Print());
    store_ = *std::move(store);
    return *store_->Open(*store_->Stat("consolidated.00.pth"));
  }
  std::string Part(ByteRange range) const { return weights_.substr(range.begin, range.size()); }
  int Downloads() {
    return ParseJson(
        stub_->Get("/_stub/counts"))["Meta-Llama-3-8B/consolidated.00.pth"]["downloads"];
  }
  void ReadInOrder(ObjectReader& reader) {
    for (uint64_t begin = 0; begin < kSize; begin += kStep) {
      const ByteRange range{begin, std::min(begin + kStep, kSize)};
      ASSERT_TRUE(ReadThroughWindow(reader, range) == Part(range)) << begin;
    }
  }

  const TempFolder folder_;
  const std::string weights_ = Weights();
  std::optional<StartedStub> stub_;
  Secret link_;
  MetaOptions options_;
  std::unique_ptr<Store> store_;
};

TEST_F(MetaStub, ListsWhatTheChecklistNames) {
  Start();
  const auto store = Open();
  ASSERT_TRUE(store) << store.error().Print();
  const auto files = *(*store)->List("");
  ASSERT_EQ(files.size(), 4);
  EXPECT_EQ(files[0].name, "checklist.chk");
  EXPECT_EQ(files[1].name, "consolidated.00.pth");
  EXPECT_EQ(files[1].size_bytes, kSize);
  EXPECT_EQ((*store)->held_bytes(), 4 * (options_.reading.window_bytes + (1 << 20)));
  EXPECT_EQ(*(*store)->ReadWhole("params.json", 100), "{}");
  EXPECT_EQ((*store)->root().Print(), stub_->origin() + "/Meta-Llama-3-8B");
}

TEST_F(MetaStub, FindsTheTokenizerOfLlama2BesideTheFolders) {
  Write("tokenizer.model", "old tokens", ".");
  Write("checklist.chk", Md5Hex("{}") + "  params.json\n", "llama-2-7b-chat");
  Write("params.json", "{}", "llama-2-7b-chat");
  Start();
  const auto store = Open("Llama-2-7b-chat");
  ASSERT_TRUE(store) << store.error().Print();
  EXPECT_EQ(*(*store)->ReadWhole("tokenizer.model", 100), "old tokens");
}

TEST_F(MetaStub, ReadsAFileInOrderByOneGet) {
  Start({"--downloads", "1"});
  const auto reader = OpenedWeights();
  ReadInOrder(*reader);
  EXPECT_EQ(Downloads(), 1);
  EXPECT_EQ(options_.counts->gets, 1);
  EXPECT_EQ(options_.counts->jumps, 0);
  EXPECT_EQ(options_.counts->received_bytes, kSize);
}

TEST_F(MetaStub, AsksForNoMoreAtOnceThanTheServerGives) {
  Start({"--size-cap", "2500000", "--downloads", "1"});
  options_.reading.most_get_bytes = 2'500'000;
  const auto reader = OpenedWeights();
  ReadInOrder(*reader);
  EXPECT_EQ(options_.counts->gets, 3);
  EXPECT_EQ(LongGetsOf(kSize, options_.reading), 3);
}

TEST_F(MetaStub, ServesReadsALittleOutOfOrderFromItsWindow) {
  Start();
  const auto reader = OpenedWeights();
  for (const ByteRange range : {ByteRange{0, 100'000}, ByteRange{500'000, 600'000},
                                ByteRange{100'000, 500'000}, ByteRange{600'000, 600'000},
                                ByteRange{1'500'000, 5'000'000}, ByteRange{4'000'000, 4'100'000}})
    EXPECT_TRUE(ReadThroughWindow(*reader, range) == Part(range));
  EXPECT_EQ(options_.counts->gets, 1);
}

TEST_F(MetaStub, OpensANewGetAtAJump) {
  Start();
  const auto reader = OpenedWeights();
  for (const ByteRange range : {ByteRange{5'000'000, kSize}, ByteRange{10, 20}, ByteRange{20, 30}})
    EXPECT_TRUE(ReadThroughWindow(*reader, range) == Part(range));
  EXPECT_EQ(options_.counts->gets, 2);
  EXPECT_EQ(options_.counts->jumps, 1);
}

TEST_F(MetaStub, GoesOnAtTheByteReachedAfterABreak) {
  Start();
  stub_->Script(
      R"([{"path": "consolidated", "range_matches": "-6000000$", "times": 1, "cut_after": 3000000},
                    {"path": "consolidated", "range_matches": "-6000000$", "skip": 1, "times": 1, "status": 503}])");
  const auto reader = OpenedWeights();
  ReadInOrder(*reader);
  EXPECT_EQ(options_.counts->gets, 3);
  EXPECT_EQ(options_.counts->repeats, 2);
  EXPECT_EQ(options_.counts->jumps, 0);
}

TEST_F(MetaStub, ReadsSmallPartsBesideTheStream) {
  Start();
  const auto reader = OpenedWeights();
  ReadThroughWindow(*reader, {0, 1'000});
  std::string end(100, '\0');
  ASSERT_TRUE(reader->Read({kSize - 100, kSize}, std::as_writable_bytes(std::span(end))));
  EXPECT_EQ(end, Part({kSize - 100, kSize}));
  EXPECT_EQ(ReadThroughWindow(*reader, {1'000, 2'000}), Part({1'000, 2'000}));
  EXPECT_EQ(options_.counts->gets, 1);
}

TEST_F(MetaStub, ChecksSmallFilesAgainstTheChecklist) {
  Start();
  Write("params.json", "{ }");
  const auto store = Open();
  ASSERT_TRUE(store);
  const auto text = (*store)->ReadWhole("params.json", 100);
  ASSERT_FALSE(text);
  EXPECT_THAT(text.error().what, HasSubstr("checklist.chk names"));
}

TEST_F(MetaStub, RefusesAnotherFileThanWasSeen) {
  Start();
  const auto reader = OpenedWeights();
  Write("consolidated.00.pth", weights_ + "x");
  Window window({0, 10});
  const Result<void> read = reader->ReadWindow({0, 10}, window.span()).get();
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, Code::kBadInput);
}

TEST_F(MetaStub, ExplainsRefusals) {
  Start({"--family", "Meta-Llama-3-8B"});
  const auto other = Open("Meta-Llama-3-70B");
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().code, Code::kDenied);
  EXPECT_EQ(other.error().Print().find("Signature"), std::string::npos);
  options_.now = 4'000'000'000;
  const auto ended = Open();
  ASSERT_FALSE(ended);
  EXPECT_THAT(ended.error().what, HasSubstr("has expired at"));
  options_.now = 0;
  const auto reader = OpenedWeights();
  stub_->Script(R"([{"path": "consolidated", "status": 403}])");
  Window window({0, 10});
  const Result<void> read = reader->ReadWindow({0, 10}, window.span()).get();
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, Code::kDenied);
  EXPECT_THAT(read.error().remedy, HasSubstr("request a new link"));
}

TEST_F(MetaStub, GivesUpWhereNothingMoves) {
  Start();
  const auto reader = OpenedWeights();
  stub_->Script(R"([{"path": "consolidated", "status": 503}])");
  Window window({0, 10});
  const Result<void> read = reader->ReadWindow({0, 10}, window.span()).get();
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, Code::kUnavailable);
}

}  // namespace
}  // namespace ckpt
