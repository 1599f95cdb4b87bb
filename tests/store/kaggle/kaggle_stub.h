#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "base/json_text.h"
#include "store/kaggle/kaggle_store.h"
#include "tests/store/temp_folder.h"
#include "tests/stubs/started.h"

namespace ckpt {

inline constexpr const char* kHandle = "google/gemma/maxtext/7b-it/2";

inline void WriteText(const std::filesystem::path& path, const std::string& text) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << text;
}

/// Kaggle with one variation, of versions 1 and 2.
class KaggleStub : public testing::Test {
 protected:
  KaggleStub() {
    WriteText(Version(1) / "old", "1");
    WriteText(Version(2) / "7b-it/manifest.ocdbt", manifest_);
    WriteText(Version(2) / "7b-it/d/a b+c", weights_);
    WriteText(Version(2) / "7b-it/empty", "");
    WriteText(Version(2) / "tokenizer.model", "tokens");
  }
  std::filesystem::path Version(int number) const {
    return std::filesystem::path(folder_.path()) / std::to_string(number);
  }

  void Start(std::vector<std::string> more = {}) {
    for (int version : {1, 2}) {
      more.emplace_back("--model");
      more.push_back("google/gemma/maxText/7b-it/" + std::to_string(version) + "=" +
                     Version(version).string());
    }
    more.insert(more.end(), {"--user", "jane:k3y", "--user", "joe:k3y", "--token", "t0ken",
                             "--without-licence", "joe", "--strict-redirect"});
    stub_.emplace("kaggle", more);
    http::EngineOptions options;
    options.first_delay = std::chrono::milliseconds(1);
    options.deadline = std::chrono::milliseconds(2000);
    options_.engine = *http::Engine::Make(options);
    options_.procedures = *http::Url::Parse(stub_->origin() + "/api/v1");
    options_.paths = *http::Url::Parse(stub_->origin() + "/api/v1");
    LogIn("jane");
  }
  void LogIn(const std::string& user, const std::string& key = "k3y") {
    options_.credential = KaggleCredential::OfKey(user, Secret(key), "KAGGLE_USERNAME");
  }
  Result<std::unique_ptr<Store>> Open(const std::string& handle = kHandle) {
    return OpenKaggleStore(*KaggleHandle::Parse(handle), options_);
  }
  std::unique_ptr<Store> Opened(const std::string& handle = kHandle) {
    Result<std::unique_ptr<Store>> store = Open(handle);
    if (!store) throw std::runtime_error(store.error().Print());
    return *std::move(store);
  }
  Error Refused(const std::string& handle = kHandle) {
    Result<std::unique_ptr<Store>> store = Open(handle);
    if (!store) return store.error();
    ADD_FAILURE() << handle << " was opened";
    return {};
  }
  // Requests of paths with these words; those with credentials.
  std::pair<int, int> Requests(const std::string& words) {
    std::pair<int, int> seen;
    for (const nlohmann::json& entry : ParseJson(stub_->Get("/_stub/requests"))) {
      if (entry["path"].get<std::string>().find(words) == std::string::npos) continue;
      ++seen.first;
      if (entry["authorization"].get<bool>()) ++seen.second;
    }
    return seen;
  }

  const TempFolder folder_;
  const std::string manifest_ = "manifest";
  const std::string weights_ = std::string(300'000, 'w') + "end";
  std::optional<StartedStub> stub_;
  KaggleOptions options_;
};

}  // namespace ckpt
