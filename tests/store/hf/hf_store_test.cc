#include "store/hf/hf_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>
#include <thread>

#include "base/json_text.h"
#include "store/hf/cache.h"
#include "tests/store/temp_folder.h"
#include "tests/store/window.h"
#include "tests/stubs/started.h"

namespace ckpt {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

constexpr size_t kWeights = 5'000'000;  // over what the stub takes for a small file

std::string Weights() {
  std::string text(kWeights, '\0');
  for (size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>(i * 2654435761U >> 13U);
  return text;
}

void WriteText(const fs::path& path, const std::string& text) {
  fs::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << text;
}

/// A hub with one repository, org/name, of a small file and a large one.
class HfStub : public testing::Test {
 protected:
  HfStub() {
    WriteText(Repo() / "config.json", R"({"model_type": "gemma"})");
    WriteText(Repo() / "sub/model.safetensors", Weights());
    WriteText(Repo() / "sub/empty", "");
  }

  fs::path Repo() const { return fs::path(folder_.path()) / "repo"; }

  void Start(std::vector<std::string> more = {}) {
    more.insert(more.end(), {"--repo", "org/name=" + Repo().string(), "--tokens", "hf_known",
                             "--accepted", "hf_accepted", "--narrow", "hf_narrow"});
    stub_.emplace("hf", more);
    http::EngineOptions options;
    options.first_delay = std::chrono::milliseconds(1);
    options.deadline = std::chrono::milliseconds(2000);
    engine_ = *http::Engine::Make(options);
    options_.engine = engine_;
    options_.endpoint = *http::Url::Parse(stub_->origin());
  }
  void SendToken(const std::string& token) { options_.token = {Secret(token), "HF_TOKEN"}; }

  Result<std::unique_ptr<Store>> Open(const std::string& place = "org/name") {
    return OpenHfStore(*HfPlace::Parse(place), options_);
  }
  std::unique_ptr<Store> Opened(const std::string& place = "org/name") {
    Result<std::unique_ptr<Store>> store = Open(place);
    if (!store) throw std::runtime_error(store.error().Print());
    return *std::move(store);
  }
  Error Refused(const std::string& place = "org/name") {
    Result<std::unique_ptr<Store>> store = Open(place);
    if (!store) return store.error();
    ADD_FAILURE() << place << " was opened";
    return {};
  }

  struct Seen {
    int count = 0;
    int authorized = 0;
  };
  // Requests of that method whose path begins so.
  Seen Requests(const std::string& method, const std::string& path) {
    Seen seen;
    for (const nlohmann::json& entry : ParseJson(stub_->Get("/_stub/requests"))) {
      if (entry["method"] != method || !entry["path"].get<std::string>().starts_with(path))
        continue;
      ++seen.count;
      if (entry["authorization"].get<bool>()) ++seen.authorized;
    }
    return seen;
  }

  const TempFolder folder_;
  std::optional<StartedStub> stub_;
  std::shared_ptr<http::Engine> engine_;
  HfOptions options_;
};

TEST_F(HfStub, ListsTheFilesOfOneCommit) {
  Start();
  const std::unique_ptr<Store> store = Opened();
  const auto files = store->List("");
  ASSERT_TRUE(files);
  ASSERT_EQ(files->size(), 3);
  EXPECT_EQ((*files)[0].name, "config.json");
  EXPECT_EQ((*files)[1].name, "sub/empty");
  EXPECT_EQ((*files)[2].name, "sub/model.safetensors");
  EXPECT_EQ((*files)[2].size_bytes, kWeights);
  EXPECT_NE((*files)[0].generation, (*files)[2].generation);
  EXPECT_EQ(store->List("sub")->size(), 2);
  EXPECT_EQ(store->List("su")->size(), 0);
  EXPECT_THAT(store->root().Print(), testing::MatchesRegex("hf://org/name@[0-9a-f]+"));
}

TEST_F(HfStub, ReadsSmallFilesAndRangesOfLargeOnes) {
  Start();
  const std::unique_ptr<Store> store = Opened();
  EXPECT_EQ(*store->ReadWhole("config.json", 1000), R"({"model_type": "gemma"})");
  EXPECT_EQ(*store->ReadWhole("sub/empty", 1000), "");
  const auto reader = *store->Open(*store->Stat("sub/model.safetensors"));
  const std::string weights = Weights();
  for (const ByteRange range : {ByteRange{0, 8}, ByteRange{123, 4'000'000},
                                ByteRange{kWeights - 1, kWeights}, ByteRange{7, 7}})
    EXPECT_EQ(ReadThroughWindow(*reader, range), weights.substr(range.begin, range.size()));
  EXPECT_EQ(*store->ReadWhole("sub/model.safetensors", kWeights), weights);
  EXPECT_FALSE(reader->ReadWindow({kWeights, kWeights + 1}, Window({0, 4096}).span()).get());
}

TEST_F(HfStub, AsksForTheAddressOfAFileOnce) {
  Start();
  const std::unique_ptr<Store> store = Opened();
  const auto reader = *store->Open(*store->Stat("sub/model.safetensors"));
  for (int i = 0; i < 5; ++i) ReadThroughWindow(*reader, {10, 20});
  EXPECT_EQ(Requests("HEAD", "/org/name/resolve").count, 1);
  EXPECT_EQ(Requests("GET", "/repos/").count, 5);
  EXPECT_GT(engine_->counts().requests, 5);
  EXPECT_GT(engine_->counts().received_bytes, 50);
}

TEST_F(HfStub, AsksForItOnceThoughManyThreadsRead) {
  Start();
  const std::unique_ptr<Store> store = Opened();
  const auto reader = *store->Open(*store->Stat("sub/model.safetensors"));
  const std::string weights = Weights();
  std::vector<std::thread> threads;
  for (uint64_t i = 0; i < 8; ++i)
    threads.emplace_back([&, i] {
      const ByteRange range{i * 100'000, (i + 1) * 100'000};
      EXPECT_EQ(ReadThroughWindow(*reader, range), weights.substr(range.begin, range.size()));
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(Requests("HEAD", "/org/name/resolve").count, 1);
}

TEST_F(HfStub, WaitsAsTheHubAsks) {
  Start();
  stub_->Script(R"([{"path": "/api/", "times": 1, "rate_limit": 0}])");
  EXPECT_EQ(Opened()->List("")->size(), 3);
  EXPECT_EQ(engine_->counts().retries.size(), 1);
}

TEST_F(HfStub, AsksAgainForAnAddressThatIsOld) {
  Start();
  options_.location_age = std::chrono::milliseconds(0);
  const std::unique_ptr<Store> store = Opened();
  const auto reader = *store->Open(*store->Stat("sub/model.safetensors"));
  for (int i = 0; i < 3; ++i) ReadThroughWindow(*reader, {10, 20});
  EXPECT_EQ(Requests("HEAD", "/org/name/resolve").count, 3);
}

TEST_F(HfStub, AsksAgainForAnAddressThatExpired) {
  Start();
  const std::unique_ptr<Store> store = Opened();
  const auto reader = *store->Open(*store->Stat("sub/model.safetensors"));
  EXPECT_EQ(ReadThroughWindow(*reader, {0, 100}), Weights().substr(0, 100));
  stub_->Script(R"([{"path": "^/repos/", "times": 1, "expired": true}])");
  EXPECT_EQ(ReadThroughWindow(*reader, {100, 300}), Weights().substr(100, 200));
  EXPECT_EQ(Requests("HEAD", "/org/name/resolve").count, 2);
}

TEST_F(HfStub, SendsTheTokenToTheHubOnly) {
  Start();
  SendToken("hf_known");
  const std::unique_ptr<Store> store = Opened();
  ReadThroughWindow(**store->Open(*store->Stat("sub/model.safetensors")), {0, 100});
  EXPECT_EQ(Requests("GET", "/repos/").count, 1);
  EXPECT_EQ(Requests("GET", "/repos/").authorized, 0);
  EXPECT_EQ(Requests("HEAD", "/org/name/resolve").authorized, 1);
  EXPECT_EQ(Requests("GET", "/api/").authorized, 2);
}

TEST_F(HfStub, ReadsAllPagesOfTheListing) {
  for (int i = 0; i < 23; ++i) WriteText(Repo() / ("part" + std::to_string(i)), "x");
  Start({"--page-size", "5"});
  EXPECT_EQ(Opened()->List("")->size(), 26);
  EXPECT_EQ(Requests("GET", "/api/models/org/name/tree").count, 6);  // with the folder's entry
}

TEST_F(HfStub, FollowsARenamedRepositoryWithTheToken) {
  Start({"--renamed", "old/name=org/name", "--private", "org/name"});
  SendToken("hf_known");
  const std::unique_ptr<Store> store = Opened("old/name");
  EXPECT_EQ(*store->ReadWhole("config.json", 1000), R"({"model_type": "gemma"})");
  EXPECT_EQ(ReadThroughWindow(**store->Open(*store->Stat("sub/model.safetensors")), {0, 9}),
            Weights().substr(0, 9));
}

TEST_F(HfStub, ReadsOtherRevisionsAndFolders) {
  const fs::path other = fs::path(folder_.path()) / "other";
  WriteText(other / "config.json", "{}");
  Start({"--revision", "org/name@refs/pr/1=" + other.string()});
  EXPECT_EQ(*Opened("org/name@refs/pr/1")->ReadWhole("config.json", 1000), "{}");
  const std::unique_ptr<Store> sub = Opened("org/name/sub");
  EXPECT_EQ(sub->List("")->size(), 2);
  EXPECT_EQ(sub->Stat("model.safetensors")->size_bytes, kWeights);
  const std::unique_ptr<Store> file = Opened("org/name/sub/model.safetensors");
  ASSERT_EQ(file->List("")->size(), 1);
  EXPECT_EQ(file->List("")->front().name, "model.safetensors");
}

TEST_F(HfStub, ExplainsGatedRepositories) {
  Start({"--gated", "org/name"});
  for (const auto& [token, words] :
       {std::pair{"", "no token was sent"}, std::pair{"hf_known", "from HF_TOKEN"},
        std::pair{"hf_narrow", "fine-grained"}}) {
    SendToken(token);
    const std::unique_ptr<Store> store = Opened();
    const Result<std::string> text = store->ReadWhole("config.json", 1000);
    ASSERT_FALSE(text);
    EXPECT_EQ(text.error().code, *token == '\0' ? Code::kNoCredential : Code::kDenied);
    EXPECT_THAT(text.error().Print(), HasSubstr(words));
  }
  SendToken("hf_accepted");
  EXPECT_TRUE(Opened()->ReadWhole("config.json", 1000));
}

TEST_F(HfStub, ExplainsWhatIsMissing) {
  Start({"--disabled", "org/name"});
  EXPECT_THAT(Refused().what, HasSubstr("disabled"));
  EXPECT_THAT(Refused("org/none").what, HasSubstr("does not exist, or is private"));
  SendToken("hf_known");
  EXPECT_EQ(Refused("org/none").code, Code::kNotFound);
  SendToken("hf_wrong");
  EXPECT_THAT(Refused("org/none").what, HasSubstr("the token from HF_TOKEN is wrong"));
  EXPECT_EQ(Refused("org/none").Print().find("hf_wrong"), std::string::npos);
}

TEST_F(HfStub, NamesWhatThereIs) {
  Start();
  EXPECT_THAT(Refused("org/name@v9").what, HasSubstr("no revision \"v9\""));
  EXPECT_THAT(Refused("org/name/sup").what, HasSubstr("no file \"sup\""));
  const std::unique_ptr<Store> store = Opened();
  const auto stat = store->Stat("confg.json");
  ASSERT_FALSE(stat);
  EXPECT_EQ(stat.error().code, Code::kNotFound);
  EXPECT_THAT(stat.error().remedy, HasSubstr("did you mean config.json?"));
}

TEST_F(HfStub, GoesOnAfterFaults) {
  Start();
  const std::unique_ptr<Store> store = Opened();
  const auto reader = *store->Open(*store->Stat("sub/model.safetensors"));
  stub_->Script(R"([{"path": "^/repos/", "times": 1, "status": 503},
                    {"path": "^/repos/", "skip": 1, "times": 1, "cut_after": 1000}])");
  EXPECT_EQ(ReadThroughWindow(*reader, {0, 3'000'000}), Weights().substr(0, 3'000'000));
  EXPECT_FALSE(engine_->counts().retries.empty());
}

TEST_F(HfStub, RefusesAServerThatIgnoresRanges) {
  Start();
  const std::unique_ptr<Store> store = Opened();
  const auto reader = *store->Open(*store->Stat("sub/model.safetensors"));
  stub_->Script(R"([{"path": "^/repos/", "ignore_range": true}])");
  std::string text(10, '\0');
  const auto read = reader->Read({10, 20}, std::as_writable_bytes(std::span(text)));
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, Code::kBadInput);
}

TEST_F(HfStub, NamesTheXetProtocolWhereTheStorageRefusesRanges) {
  Start();
  const std::unique_ptr<Store> store = Opened();
  const auto reader = *store->Open(*store->Stat("sub/model.safetensors"));
  stub_->Script(R"([{"path": "^/repos/", "status": 400}])");
  std::string text(10, '\0');
  const auto read = reader->Read({10, 20}, std::as_writable_bytes(std::span(text)));
  ASSERT_FALSE(read);
  EXPECT_THAT(read.error().Print(), HasSubstr("hf download org/name"));
  EXPECT_EQ(read.error().Print().find("Signature"), std::string::npos);
}

TEST_F(HfStub, RefusesAPointerInsteadOfTheFile) {
  const std::string pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n";
  WriteText(Repo() / "pointer", pointer);
  WriteText(Repo() / "page", "<!DOCTYPE html><html></html>");
  Start();
  const std::unique_ptr<Store> store = Opened();
  for (const char* name : {"pointer", "page"}) {
    const Result<std::string> text = store->ReadWhole(name, 1000);
    ASSERT_FALSE(text) << name;
    EXPECT_EQ(text.error().code, Code::kBadInput);
    EXPECT_THAT(text.error().what, HasSubstr("instead of the file"));
  }
  const auto reader = *store->Open(*store->Stat("page"));
  Window window({0, 9});
  EXPECT_FALSE(reader->ReadWindow({0, 9}, window.span()).get());
}

TEST_F(HfStub, RefusesBytesOfAnotherDigest) {
  Start();
  const std::unique_ptr<Store> store = Opened();
  stub_->Script(R"([{"method": "GET", "path": "config.json", "status": 206,
                     "headers": {"Content-Range": "bytes 0-22/23"},
                     "body": "{\"model_type\": \"llama\"}"}])");
  const Result<std::string> text = store->ReadWhole("config.json", 1000);
  ASSERT_FALSE(text);
  EXPECT_EQ(text.error().code, Code::kBadInput);
  EXPECT_THAT(text.error().what, HasSubstr("digest"));
}

TEST_F(HfStub, ReadsFromTheCacheWhatItHasOfTheCommit) {
  Start();
  options_.cache_folder = folder_.path() + "/cache";
  const std::string root = Opened()->root().Print();
  const std::string commit = root.substr(root.find('@') + 1);
  const fs::path snapshot =
      fs::path(options_.cache_folder) / "models--org--name/snapshots" / commit;
  WriteText(snapshot / "sub/model.safetensors", Weights());
  WriteText(snapshot / "config.json", "{}");  // of another size: not the file
  const std::unique_ptr<Store> store = Opened();
  EXPECT_EQ(*store->ReadWhole("sub/model.safetensors", kWeights), Weights());
  EXPECT_EQ(*store->ReadWhole("config.json", 1000), R"({"model_type": "gemma"})");
  EXPECT_EQ(Requests("GET", "/repos/").count, 0);
}

TEST_F(HfStub, IsReadOnly) {
  Start();
  const std::unique_ptr<Store> store = Opened();
  const auto created = store->Create("a", {});
  ASSERT_FALSE(created);
  EXPECT_EQ(created.error().code, Code::kUsage);
  EXPECT_THAT(created.error().what, HasSubstr("is read-only"));
  EXPECT_FALSE(store->CreatePositioned("a", 1, {}));
  EXPECT_FALSE(store->Remove("config.json"));
  EXPECT_FALSE(store->RemoveAll("sub"));
}

TEST_F(HfStub, OpensNoOtherGenerationThanWasListed) {
  Start();
  const std::unique_ptr<Store> store = Opened();
  ObjectInfo info = *store->Stat("config.json");
  info.generation.value = "another";
  EXPECT_FALSE(store->Open(info));
  EXPECT_FALSE(store->Stat("../config.json"));
}

}  // namespace
}  // namespace ckpt
