#include "store/meta/long_get.h"

#include <curl/curl.h>
#include <fmt/format.h>

#include <chrono>
#include <cstdlib>
#include <optional>
#include <utility>

#include "base/check.h"
#include "base/text.h"
#include "store/http/exchange.h"
#include "store/http/headers.h"
#include "store/http/proxy.h"

namespace ckpt {
namespace {

using SteadyClock = std::chrono::steady_clock;
using Multi = std::unique_ptr<CURLM, decltype(&curl_multi_cleanup)>;

constexpr int kPollMs = 250;  // how soon a stop is seen

std::optional<std::string> ProxyVariable(const char* name) {
  // NOLINTNEXTLINE(concurrency-mt-unsafe): nobody sets variables once threads run
  const char* value = std::getenv(name);
  if (value == nullptr) return std::nullopt;
  return value;
}

class CurlLongGet final : public LongGet, private http::Receiver {
 public:
  CurlLongGet(const http::EngineOptions& options, ByteRange range, uint64_t total_bytes,
              std::string etag, StreamWindow& window, Multi multi,
              std::unique_ptr<http::Exchange> exchange)
      : stop_(options.stop),
        stall_(options.stall),
        range_(range),
        total_bytes_(total_bytes),
        etag_(std::move(etag)),
        window_(window),
        multi_(std::move(multi)),
        exchange_(std::move(exchange)) {}
  CurlLongGet(const CurlLongGet&) = delete;
  CurlLongGet& operator=(const CurlLongGet&) = delete;
  ~CurlLongGet() override {
    if (is_under_way_) End(CURLE_ABORTED_BY_CALLBACK);
  }

  Result<void> Begin(const http::Url& url) {
    http::Sending sending;
    sending.method = "GET";
    sending.url = url;
    sending.headers = {{"Range", fmt::format("bytes={}-{}", range_.begin, range_.end - 1)},
                       {"Accept-Encoding", "identity"}};
    proxy_ = http::Proxies::Read(ProxyVariable).For(url);
    CKPT_TRY_VOID(exchange_->Begin(std::move(sending), proxy_, *this));
    CKPT_CHECK(curl_multi_add_handle(multi_.get(), exchange_->handle()) == CURLM_OK);
    is_under_way_ = true;
    return {};
  }

  Result<Pulled> Pull() override {
    const auto begun = SteadyClock::now();
    while (true) {
      if (stop_.stop_requested()) return Fail(Code::kInterrupted, "the download was interrupted");
      has_bytes_ = false;
      if (std::exchange(is_paused_, false)) curl_easy_pause(exchange_->handle(), CURLPAUSE_CONT);
      int running = 0;
      if (!has_bytes_) curl_multi_perform(multi_.get(), &running);
      if (wrong_) return Fail(*wrong_);
      int left = 0;
      const CURLMsg* message = curl_multi_info_read(multi_.get(), &left);
      if (message != nullptr && message->msg == CURLMSG_DONE) return Ended(message->data.result);
      if (has_bytes_) return Pulled{Pulled::Kind::kBytes, status_, ""};
      if (SteadyClock::now() - begun >= stall_) {
        End(CURLE_OPERATION_TIMEDOUT);
        return Pulled{Pulled::Kind::kBroken, status_, "no byte came for too long"};
      }
      curl_multi_poll(multi_.get(), nullptr, 0, kPollMs, nullptr);
    }
  }

 private:
  bool OnHead(int status, http::Headers headers) override {
    status_ = status;
    if (status != 206) return false;
    const std::string* value = http::FindHeader(headers, "Content-Range");
    const auto found = value == nullptr ? std::nullopt : http::ParseContentRange(*value);
    if (!found || !found->range || *found->range != range_) {
      // As a broken connection: a proxy in between may have slipped.
      broken_ = fmt::format("bytes {} asked for, others answered", ToString(range_));
      return false;
    }
    if (found->total_bytes.value_or(total_bytes_) != total_bytes_)
      return Reject(
          fmt::format("the file has {} bytes, {} expected", *found->total_bytes, total_bytes_));
    const std::string* etag = http::FindHeader(headers, "ETag");
    if (!etag_.empty() && etag != nullptr && *etag != etag_)
      return Reject("the file is another one than when it was first seen");
    return true;
  }

  bool OnBody(std::span<const std::byte> bytes) override {
    if (bytes.size() > range_.end - window_.held().end)
      return Reject(fmt::format("more bytes than {} came", ToString(range_)));
    window_.Append(bytes);
    has_bytes_ = true;
    // Else libcurl goes on for as long as the socket has bytes, past all that the window can hold.
    is_paused_ = curl_easy_pause(exchange_->handle(), CURLPAUSE_RECV) == CURLE_OK;
    return true;
  }

  bool Reject(std::string what) {
    wrong_ = Error{
        Code::kBadInput, std::move(what), {}, {}, "run again; if it stays, request a new link"};
    return false;
  }

  Pulled Ended(int curl_code) {
    const http::Ending ending = End(curl_code);
    if (status_ != 0 && status_ != 206) return {Pulled::Kind::kRefused, status_, ""};
    if (window_.held().end == range_.end) return {Pulled::Kind::kEnd, status_, ""};
    return {Pulled::Kind::kBroken, status_, broken_.empty() ? ending.words : broken_};
  }

  http::Ending End(int curl_code) {
    is_under_way_ = false;
    curl_multi_remove_handle(multi_.get(), exchange_->handle());
    return exchange_->End(curl_code);
  }

  const std::stop_token stop_;
  const std::chrono::seconds stall_;
  const ByteRange range_;
  const uint64_t total_bytes_;
  const std::string etag_;
  StreamWindow& window_;
  Secret proxy_;
  const Multi multi_;  // the exchange leaves it before it ends
  const std::unique_ptr<http::Exchange> exchange_;
  bool is_under_way_ = false;
  bool has_bytes_ = false;
  bool is_paused_ = false;
  int status_ = 0;
  std::string broken_;  // in our words
  std::optional<Error> wrong_;
};

}  // namespace

Result<std::unique_ptr<LongGet>> LongGet::Start(const http::Engine& engine, const http::Url& url,
                                                ByteRange range, uint64_t total_bytes,
                                                const std::string& etag, StreamWindow& window) {
  CKPT_CHECK(!range.empty() && window.held().end == range.begin);
  const http::EngineOptions& options = engine.options();
  CKPT_TRY(auto exchange,
           http::Exchange::Make({options.ca_bundle, options.connect_timeout, options.stall}));
  Multi multi(curl_multi_init(), &curl_multi_cleanup);
  if (!multi) return Fail(Code::kResources, "no memory for a connection", "allow more memory");
  auto get = std::make_unique<CurlLongGet>(options, range, total_bytes, etag, window,
                                           std::move(multi), std::move(exchange));
  CKPT_TRY_VOID(get->Begin(url));
  return get;
}

}  // namespace ckpt
