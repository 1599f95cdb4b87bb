#include "store/gs/auth/token_cache.h"

#include <utility>

namespace ckpt::gs {
namespace {

using std::chrono::seconds;

constexpr seconds kRefreshAhead{225};  // as Google's own clients do
constexpr seconds kLeastLife{10};      // a token that ends on its way is no token
constexpr seconds kRetryAfter{15};
constexpr seconds kSameRenewal{10};  // requests that failed together renew together

}  // namespace

TokenCache::TokenCache(std::unique_ptr<TokenSource> source, std::string quota_project,
                       GoogleCredentialOptions options)
    : source_(std::move(source)),
      quota_project_(std::move(quota_project)),
      options_(std::move(options)) {}

TokenCache::~TokenCache() {
  if (refresher_.joinable()) refresher_.join();
}

bool TokenCache::HasToken(Time now, seconds life) const {
  return !token_.value.empty() && now + life < token_.expires;
}

http::Headers TokenCache::Headers() const {
  return {{"Authorization", "Bearer " + token_.value.Reveal()}};
}

Result<http::Headers> TokenCache::Authorize() {
  std::unique_lock lock(mutex_);
  while (true) {
    const Time now = options_.clock();
    if (HasToken(now, kRefreshAhead)) return Headers();
    if (HasToken(now, kLeastLife)) {
      RefreshBeside(now);
      return Headers();
    }
    if (!is_fetching_) break;
    fetched_.wait(lock);
  }
  is_fetching_ = true;
  lock.unlock();
  Result<Token> fetched = source_->Fetch();
  lock.lock();
  is_fetching_ = false;
  fetched_.notify_all();
  if (!fetched) return Fail(std::move(fetched).error());
  token_ = *std::move(fetched);
  fetched_at_ = options_.clock();
  // A token with less life than we like (a metadata server hands out what it has) is used as it is.
  return Headers();
}

void TokenCache::RefreshBeside(Time now) {
  if (is_fetching_ || now < next_try_ || !source_->can_renew()) return;
  is_fetching_ = true;
  if (refresher_.joinable()) refresher_.join();  // it has ended: is_fetching_ was false
  refresher_ = std::thread([this] {
    Result<Token> fetched = source_->Fetch();
    std::string warning;
    {
      const std::lock_guard lock(mutex_);
      const Time then = options_.clock();
      if (fetched) {
        token_ = *std::move(fetched);
        fetched_at_ = then;
      } else {
        next_try_ = then + kRetryAfter;
        warning = "Google's token could not be renewed, the old one still serves: " +
                  fetched.error().what;
      }
    }
    if (!warning.empty() && options_.warn) options_.warn(warning);
    const std::lock_guard lock(mutex_);
    is_fetching_ = false;
    fetched_.notify_all();
  });
}

bool TokenCache::Renew() {
  const std::lock_guard lock(mutex_);
  if (!source_->can_renew()) return false;
  if (was_renewed_ && !token_.value.empty() && options_.clock() < fetched_at_ + kSameRenewal)
    return true;
  token_ = {};
  was_renewed_ = true;
  return true;
}

std::string TokenCache::principal() {
  const std::lock_guard lock(principal_mutex_);
  if (!knows_principal_) {
    principal_ = source_->principal();
    knows_principal_ = true;
  }
  return principal_;
}

}  // namespace ckpt::gs

namespace ckpt {

void UseCredentials(GsOptions& options, std::shared_ptr<GoogleCredentials> credentials) {
  options.principal = [credentials] { return credentials->principal(); };
  if (options.user_project.empty()) options.user_project = credentials->quota_project();
  options.authorizer = std::move(credentials);
}

}  // namespace ckpt
