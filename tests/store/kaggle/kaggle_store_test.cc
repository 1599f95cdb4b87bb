#include "store/kaggle/kaggle_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/store/kaggle/kaggle_stub.h"
#include "tests/store/window.h"

namespace ckpt {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

TEST_F(KaggleStub, ListsAllPages) {
  for (int i = 0; i < 20; ++i) WriteText(Version(2) / ("f" + std::to_string(i)), "x");
  Start({"--page-size", "5"});
  const std::unique_ptr<Store> store = Opened();
  EXPECT_EQ(store->List("")->size(), 24);
  EXPECT_EQ(store->List("7b-it")->size(), 3);
  EXPECT_EQ(store->root().Print(), "kaggle://google/gemma/maxText/7b-it/2");
  EXPECT_EQ(store->Stat("tokenizer.model")->size_bytes, 6);
}

TEST_F(KaggleStub, TakesTheNewestVersionWhereNoneIsNamed) {
  Start();
  EXPECT_EQ(Opened("google/gemma/maxText/7b-it")->root().Print(),
            "kaggle://google/gemma/maxText/7b-it/2");
  EXPECT_EQ(Opened("google/gemma/maxText/7b-it/1")->List("")->front().name, "old");
}

TEST_F(KaggleStub, ReadsFilesByRangesThroughSignedAddresses) {
  Start();
  const std::unique_ptr<Store> store = Opened();
  EXPECT_EQ(*store->ReadWhole("7b-it/manifest.ocdbt", 100), manifest_);
  EXPECT_EQ(*store->ReadWhole("7b-it/empty", 100), "");
  const auto reader = *store->Open(*store->Stat("7b-it/d/a b+c"));
  EXPECT_EQ(ReadThroughWindow(*reader, {5, 299'000}), weights_.substr(5, 298'995));
  EXPECT_EQ(ReadThroughWindow(*reader, {299'999, 300'003}), "wend");
  const Crc32c crc = Crc32c::Of(std::as_bytes(std::span(weights_)));
  EXPECT_EQ(reader->info().crc32c, crc);
  EXPECT_GT(Requests("/kaggle-models-data/").first, 2);
  EXPECT_EQ(Requests("/kaggle-models-data/").second, 0);  // no credentials for the storage
}

TEST_F(KaggleStub, SpeaksTheOlderGenerationWhereTheNewOneIsNotThere) {
  Start();
  stub_->Script(R"([{"path": "ModelApiService", "status": 404}])");
  const std::unique_ptr<Store> store = Opened("google/gemma/maxText/7b-it");
  EXPECT_EQ(*store->ReadWhole("7b-it/d/a b+c", 1'000'000), weights_);
  EXPECT_EQ(Requests("ModelApiService").first, 1);
  EXPECT_GT(Requests("/api/v1/models/google").second, 2);
}

TEST_F(KaggleStub, TakesTokensToo) {
  Start({"--licence", "google/gemma/maxText/7b-it"});
  options_.credential = KaggleCredential::OfToken(Secret("t0ken"), "KAGGLE_API_TOKEN");
  EXPECT_TRUE(Opened()->ReadWhole("tokenizer.model", 100));
}

TEST_F(KaggleStub, SignsAgainWhatExpired) {
  Start();
  const std::unique_ptr<Store> store = Opened();
  const auto reader = *store->Open(*store->Stat("7b-it/d/a b+c"));
  EXPECT_EQ(ReadThroughWindow(*reader, {0, 10}), weights_.substr(0, 10));
  stub_->Script(R"([{"path": "^/kaggle-models-data/", "times": 1, "expired": true}])");
  EXPECT_EQ(ReadThroughWindow(*reader, {10, 100'000}), weights_.substr(10, 99'990));
  EXPECT_EQ(Requests("DownloadModelInstanceVersion").first, 2);
}

TEST_F(KaggleStub, SignsAgainWhatIsOld) {
  Start();
  options_.location_age = std::chrono::milliseconds(0);
  const std::unique_ptr<Store> store = Opened();
  const auto reader = *store->Open(*store->Stat("7b-it/d/a b+c"));
  for (int i = 0; i < 2; ++i) ReadThroughWindow(*reader, {0, 10});
  EXPECT_EQ(Requests("DownloadModelInstanceVersion").first, 3);
}

TEST_F(KaggleStub, RefusesAnotherFileBehindANewAddress) {
  Start();
  const std::unique_ptr<Store> store = Opened();
  const auto reader = *store->Open(*store->Stat("7b-it/d/a b+c"));
  ReadThroughWindow(*reader, {0, 10});
  std::string other = weights_;
  other[0] = 'x';
  WriteText(Version(2) / "7b-it/d/a b+c", other);
  stub_->Script(R"([{"path": "^/kaggle-models-data/", "times": 1, "expired": true}])");
  std::string text(10, '\0');
  const auto read = reader->Read({10, 20}, std::as_writable_bytes(std::span(text)));
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, Code::kBadInput);
  EXPECT_THAT(read.error().what, HasSubstr("sums differ"));
}

TEST_F(KaggleStub, ExplainsRefusals) {
  Start({"--licence", "google/gemma/maxText/7b-it"});
  LogIn("joe");
  EXPECT_THAT(Refused().remedy,
              HasSubstr("accept the model's licence at https://www.kaggle.com/models/google/gemma "
                        "with the account joe"));
  EXPECT_EQ(Refused().code, Code::kDenied);
  LogIn("jane", "wr0ng");
  EXPECT_THAT(Refused().what, HasSubstr("credentials of Kaggle are wrong"));
  EXPECT_EQ(Refused().Print().find("wr0ng"), std::string::npos);
  options_.credential = {};
  options_.credential.looked = {"/kaggle/kaggle.json"};
  EXPECT_THAT(Refused().what, HasSubstr("looked in /kaggle/kaggle.json"));
}

TEST_F(KaggleStub, NamesKnownVersions) {
  Start();
  const Error error = Refused("google/gemma/maxtext/7b-it/9");
  EXPECT_EQ(error.code, Code::kNotFound);
  EXPECT_THAT(error.what, HasSubstr("known versions: 1 to 2"));
  EXPECT_THAT(Refused("google/gemma/maxtext/70b").what, HasSubstr("known versions: none"));
}

TEST_F(KaggleStub, FindsErrorsInAnswersOfStatus200) {
  Start();
  stub_->Script(
      R"([{"path": "ListModelInstanceVersionFiles", "status": 200, "body": {"code": 401, "message": "no"}}])");
  EXPECT_EQ(Refused().code, Code::kDenied);
}

TEST_F(KaggleStub, ReadsWholeVersionsFromTheCache) {
  Start();
  options_.cache_folder = folder_.path() + "/cache";
  const fs::path variation = fs::path(options_.cache_folder) / "models/google/gemma/maxText/7b-it";
  WriteText(variation / "2/tokenizer.model", "cached");
  EXPECT_EQ(*Opened()->ReadWhole("tokenizer.model", 100), "tokens");
  WriteText(variation / "2.complete", "");
  stub_->Script(R"([{"status": 500}])");
  EXPECT_EQ(*Opened()->ReadWhole("tokenizer.model", 100), "cached");
}

TEST_F(KaggleStub, IsReadOnly) {
  Start();
  const std::unique_ptr<Store> store = Opened();
  EXPECT_EQ(store->Create("a", {}).error().code, Code::kUsage);
  EXPECT_EQ(store->Remove("a").error().code, Code::kUsage);
  EXPECT_EQ(store->Stat("none").error().code, Code::kNotFound);
}

}  // namespace
}  // namespace ckpt
