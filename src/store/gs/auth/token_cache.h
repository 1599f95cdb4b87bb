#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "store/gs/auth/google_credentials.h"
#include "store/gs/auth/token_source.h"

namespace ckpt::gs {

/// Thread-safe. The token of one source: fetched at the first need, while others wait; fetched
/// again on a thread of its own when less than 225 s are left, one at a time, while the old one
/// serves.
class TokenCache final : public GoogleCredentials {
 public:
  TokenCache(std::unique_ptr<TokenSource> source, std::string quota_project,
             GoogleCredentialOptions options);
  ~TokenCache() override;

  Result<http::Headers> Authorize() override;
  bool Renew() override;
  std::string principal() override;
  std::string quota_project() const override { return quota_project_; }

 private:
  using Time = std::chrono::system_clock::time_point;

  bool HasToken(Time now, std::chrono::seconds life) const;
  http::Headers Headers() const;
  void RefreshBeside(Time now);

  const std::unique_ptr<TokenSource> source_;
  const std::string quota_project_;
  const GoogleCredentialOptions options_;
  std::mutex mutex_;
  std::condition_variable fetched_;
  Token token_;
  Time fetched_at_;
  Time next_try_;             // not before, after a refresh that failed
  bool is_fetching_ = false;  // by whom ever
  bool was_renewed_ = false;  // token_ came after a Renew()
  std::thread refresher_;
  std::mutex principal_mutex_;
  bool knows_principal_ = false;
  std::string principal_;
};

}  // namespace ckpt::gs
