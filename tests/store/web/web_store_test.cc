#include "store/web/web_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <optional>

#include "store/web/explain.h"
#include "tests/store/temp_folder.h"
#include "tests/store/window.h"
#include "tests/stubs/started.h"

namespace ckpt {
namespace {

using testing::HasSubstr;

TEST(WebFileName, IsTheLastPartOfThePath) {
  EXPECT_EQ(*WebFileName(*http::Url::Parse("https://host/a/model.gguf?sig=1")), "model.gguf");
  EXPECT_EQ(*WebFileName(*http::Url::Parse("https://host/a%20b.gguf")), "a b.gguf");
  for (const char* text : {"https://host", "https://host/", "https://host/a/", "https://host/a%2Fb",
                           "https://host/%2e%2e", "https://host/a%00"})
    EXPECT_FALSE(WebFileName(*http::Url::Parse(text))) << text;
}

TEST(WebExplain, NeverPrintsTheQuery) {
  const http::Url url = *http::Url::Parse("https://host/a?sig=s3cret");
  for (const int status : {401, 403, 404, 412, 416, 429, 500, 418})
    EXPECT_EQ(ExplainWeb(url, status).Print().find("s3cret"), std::string::npos);
  EXPECT_EQ(ExplainWeb(url, 403).code, Code::kDenied);
  EXPECT_EQ(ExplainWeb(url, 404).code, Code::kNotFound);
  EXPECT_EQ(ExplainWeb(url, 412).code, Code::kBadInput);
  EXPECT_EQ(ExplainWeb(url, 429).code, Code::kTemporary);
  EXPECT_EQ(ExplainWeb(url, 500).code, Code::kUnavailable);
}

/// A web server with a folder of files: the hub's stub serves its small ones as one.
class WebStub : public testing::Test {
 protected:
  WebStub() {
    Write("model.gguf", text_);
    Write("config.json", "{}");
    stub_.emplace("hf", std::vector<std::string>{"--repo", "org/name=" + folder_.path()});
    http::EngineOptions options;
    options.first_delay = std::chrono::milliseconds(1);
    options.deadline = std::chrono::milliseconds(2000);
    engine_ = *http::Engine::Make(options);
  }
  void Write(const std::string& name, const std::string& text) {
    std::ofstream(std::filesystem::path(folder_.path()) / name, std::ios::binary) << text;
  }
  Result<std::unique_ptr<Store>> Open(const std::string& query = "") {
    return OpenWebStore(
        *http::Url::Parse(stub_->origin() + "/org/name/resolve/main/model.gguf" + query), engine_);
  }

  const TempFolder folder_;
  const std::string text_ = std::string(10'000, 'a') + "end";
  std::optional<StartedStub> stub_;
  std::shared_ptr<http::Engine> engine_;
};

TEST_F(WebStub, ReadsOneFileByRanges) {
  const auto store = Open("?token=s3cret");
  ASSERT_TRUE(store) << store.error().Print();
  const auto files = *(*store)->List("");
  ASSERT_EQ(files.size(), 1);
  EXPECT_EQ(files[0].name, "model.gguf");
  EXPECT_EQ(files[0].size_bytes, text_.size());
  EXPECT_EQ(*(*store)->ReadWhole("model.gguf", 100'000), text_);
  EXPECT_EQ(ReadThroughWindow(**(*store)->Open(files[0]), {9'999, 10'003}), "aend");
  EXPECT_EQ((*store)->root().PrintBelow("x").find("s3cret"), std::string::npos);
  EXPECT_THAT(stub_->Get("/_stub/requests"), HasSubstr("token=s3cret"));
}

TEST_F(WebStub, FindsNeighboursByName) {
  const auto store = Open();
  ASSERT_TRUE(store);
  EXPECT_EQ(*(*store)->ReadWhole("config.json", 100), "{}");
  const auto none = (*store)->Stat("none.json");
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, Code::kNotFound);
}

TEST_F(WebStub, AsksForTheVersionThatItSaw) {
  const auto store = Open();
  ASSERT_TRUE(store);
  const ObjectInfo info = *(*store)->Stat("model.gguf");
  EXPECT_THAT(info.generation.value, HasSubstr("If-Match"));
  const auto reader = *(*store)->Open(info);
  stub_->Script(R"([{"path": "model.gguf", "status": 412}])");
  std::string text(3, '\0');
  const auto read = reader->Read({0, 3}, std::as_writable_bytes(std::span(text)));
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, Code::kBadInput);
  EXPECT_THAT(read.error().what, HasSubstr("another one"));
}

TEST_F(WebStub, RefusesAServerWithoutRanges) {
  stub_->Script(R"([{"path": "model.gguf", "ignore_range": true}])");
  const auto store = Open();
  ASSERT_FALSE(store);
  EXPECT_EQ(store.error().code, Code::kBadInput);
  EXPECT_THAT(store.error().what, HasSubstr("no ranges"));
  EXPECT_THAT(store.error().remedy, HasSubstr("download the file"));
}

TEST_F(WebStub, IsReadOnly) {
  const auto store = Open();
  ASSERT_TRUE(store);
  EXPECT_EQ((*store)->Create("a", {}).error().code, Code::kUsage);
  EXPECT_EQ((*store)->Remove("a").error().code, Code::kUsage);
}

}  // namespace
}  // namespace ckpt
