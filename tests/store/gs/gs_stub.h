#pragma once

#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "store/gs/client.h"
#include "store/gs/gs_store.h"
#include "tests/store/store_test.h"
#include "tests/stubs/started.h"

namespace ckpt {

inline const CreateOptions kReplaceIt{.is_create_only = false};

/// Sends one token, and another one after each renewal.
class FixedToken final : public http::Authorizer {
 public:
  explicit FixedToken(std::vector<std::string> tokens) : tokens_(std::move(tokens)) {}
  Result<http::Headers> Authorize() override {
    const std::lock_guard lock(mutex_);
    return http::Headers{{"Authorization", "Bearer " + tokens_[at_]}};
  }
  bool Renew() override {
    const std::lock_guard lock(mutex_);
    if (at_ + 1 == tokens_.size()) return false;
    ++at_;
    return true;
  }

 private:
  std::mutex mutex_;
  size_t at_ = 0;
  const std::vector<std::string> tokens_;
};

/// The strict stub with a bucket "bucket", and stores in it.
class GsStub {
 public:
  explicit GsStub(std::vector<std::string> arguments = {}) {
    arguments.insert(arguments.begin(), {"--bucket", "bucket"});
    stub_.emplace("gcs", arguments);
    http::EngineOptions options;
    options.first_delay = std::chrono::milliseconds(2);
    options.delay_cap = std::chrono::milliseconds(20);
    options.deadline = std::chrono::seconds(10);
    options.trusted_origins = {stub_->origin()};
    options.stop = stop_.get_token();
    auto engine = http::Engine::Make(std::move(options));
    EXPECT_TRUE(engine.has_value()) << engine.error().Print();
    engine_ = *std::move(engine);
  }

  StartedStub& stub() { return *stub_; }
  const std::shared_ptr<http::Engine>& engine() { return engine_; }

  GsOptions Options() {
    GsOptions options;
    options.engine = engine_;
    options.endpoint = *http::Url::Parse(stub_->origin());
    options.chunk_bytes = 512 << 10;
    options.warn = [this](std::string_view text) {
      const std::lock_guard lock(mutex_);
      warnings_.emplace_back(text);
    };
    return options;
  }
  std::unique_ptr<Store> Open(const std::string& root, GsOptions options) {
    auto store = OpenGsStore(*Uri::Parse(root), std::move(options));
    EXPECT_TRUE(store.has_value()) << ErrorOf(store);
    return *std::move(store);
  }
  std::unique_ptr<Store> Open(const std::string& root = "gs://bucket/run") {
    return Open(root, Options());
  }

  /// What the stub keeps, by names in the bucket.
  std::string Holds(const std::string& name) { return stub_->Get("/_stub/objects/bucket/" + name); }
  void Put(const std::string& name, const std::string& text, http::Headers headers = {}) {
    http::Request request;
    request.method = "PUT";
    request.url = *http::Url::Parse(stub_->origin() + "/_stub/objects/bucket/" + name);
    request.headers = std::move(headers);
    request.body = BytesOf(text);
    EXPECT_EQ(engine_->Send(request)->status, 200);
  }
  std::vector<std::string> Names() {
    return nlohmann::json::parse(stub_->Get("/_stub/names/bucket"));
  }
  /// Sessions and multipart uploads that nobody ended.
  size_t Unfinished() {
    const auto json = nlohmann::json::parse(stub_->Get("/_stub/uploads"));
    return json["resumable"].size() + json["multipart"].size();
  }
  nlohmann::json Requests() { return nlohmann::json::parse(stub_->Get("/_stub/requests")); }
  size_t CountRequests(const std::string& method, const std::string& words) {
    size_t count = 0;
    for (const auto& entry : Requests()) {
      const std::string whole =
          entry["path"].get<std::string>() + "?" + entry["query"].get<std::string>();
      if (entry["method"] == method && whole.find(words) != std::string::npos) ++count;
    }
    return count;
  }
  std::vector<std::string> warnings() {
    const std::lock_guard lock(mutex_);
    return warnings_;
  }
  void Stop() { stop_.request_stop(); }

 private:
  std::stop_source stop_;
  std::mutex mutex_;
  std::vector<std::string> warnings_;
  std::optional<StartedStub> stub_;
  std::shared_ptr<http::Engine> engine_;
};

inline void ExpectSays(const Error& error, const std::string& words) {
  EXPECT_NE(error.Print().find(words), std::string::npos) << error.Print();
}

}  // namespace ckpt
