#include "store/http/exchange.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <system_error>
#include <utility>

#include "base/check.h"
#include "base/text.h"
#include "base/units.h"
#include "store/http/address.h"
#include "store/http/ending_kind.h"
#include "store/http/headers.h"

namespace ckpt::http {
namespace {

constexpr size_t kMostHeaderBytes = 256 * kKiB;
constexpr long kBufferBytes = 512L * 1024;  // NOLINT(google-runtime-int): libcurl's type
// A write that was sent whole may keep the service busy before it says a word (joining the parts of
// a large object does).
constexpr int kPatienceForWrites = 10;

using Handle = std::unique_ptr<CURL, decltype(&curl_easy_cleanup)>;
using List = std::unique_ptr<curl_slist, decltype(&curl_slist_free_all)>;

std::string TextOf(const sockaddr& address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  const void* bytes = nullptr;
  if (address.sa_family == AF_INET) bytes = &reinterpret_cast<const sockaddr_in&>(address).sin_addr;
  if (address.sa_family == AF_INET6)
    bytes = &reinterpret_cast<const sockaddr_in6&>(address).sin6_addr;
  if (bytes != nullptr) inet_ntop(address.sa_family, bytes, text.data(), text.size());
  return text.data();
}

class CurlExchange final : public Exchange {
 public:
  CurlExchange(Settings settings, Handle handle)
      : settings_(std::move(settings)), handle_(std::move(handle)) {}

  void* handle() override { return handle_.get(); }
  Result<void> Begin(Sending sending, const Secret& proxy, Receiver& receiver) override;
  bool IsStalled(Time now) override;
  Ending End(int curl_code) override;

 private:
  template <class T>
  void Set(CURLoption option, T value) {
    // Fails only for options that this build of libcurl lacks, and setup refuses such.
    CKPT_CHECK(curl_easy_setopt(handle_.get(), option, value) == CURLE_OK);
  }
  void SetConnection(const Secret& proxy);
  void SetCallbacks();
  void SetMethod();
  Result<void> SetHeaders();
  bool AddHeader(const std::string& line);

  bool OnHeaderLine(std::string_view line);
  bool OnBody(std::span<const std::byte> bytes);
  bool OnConnected(const char* address);
  curl_socket_t OpenSocket(const curl_sockaddr& address);

  static CurlExchange& Of(void* self) { return *static_cast<CurlExchange*>(self); }

  const Settings settings_;
  const Handle handle_;
  List headers_{nullptr, &curl_slist_free_all};
  std::array<char, CURL_ERROR_SIZE> words_{};

  Sending sending_;
  Receiver* receiver_ = nullptr;
  bool has_proxy_ = false;

  int status_ = 0;
  Headers answer_headers_;
  size_t header_bytes_ = 0;
  bool has_head_ = false;    // told to the receiver
  bool is_stopped_ = false;  // by the receiver
  bool is_refused_ = false;  // a private address
  bool was_sent_ = false;
  std::string peer_;

  uint64_t moved_bytes_ = 0;  // both ways
  uint64_t sent_bytes_ = 0;
  Time mark_{};  // where the present window of the stall began
  uint64_t mark_bytes_ = 0;
};

Result<void> CurlExchange::Begin(Sending sending, const Secret& proxy, Receiver& receiver) {
  curl_easy_reset(handle_.get());
  headers_.reset();
  words_[0] = '\0';
  sending_ = std::move(sending);
  receiver_ = &receiver;
  has_proxy_ = !proxy.empty();
  status_ = 0;
  answer_headers_.clear();
  header_bytes_ = 0;
  has_head_ = is_stopped_ = is_refused_ = was_sent_ = false;
  peer_.clear();
  moved_bytes_ = sent_bytes_ = mark_bytes_ = 0;
  SetConnection(proxy);
  SetCallbacks();
  SetMethod();
  return SetHeaders();
}

void CurlExchange::SetConnection(const Secret& proxy) {
  Set(CURLOPT_URL, sending_.url.Whole().Reveal().c_str());
  Set(CURLOPT_PATH_AS_IS, 1L);  // ".." can be a part of an object's name, and is signed as it is
  Set(CURLOPT_PROTOCOLS_STR, "http,https");
  Set(CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
  Set(CURLOPT_NOSIGNAL, 1L);
  Set(CURLOPT_QUICK_EXIT, 1L);  // a stop does not wait for the resolver
  Set(CURLOPT_BUFFERSIZE, kBufferBytes);
  Set(CURLOPT_UPLOAD_BUFFERSIZE, kBufferBytes);
  Set(CURLOPT_TCP_KEEPALIVE, 1L);
  Set(CURLOPT_CONNECTTIMEOUT_MS,
      static_cast<long>(std::chrono::milliseconds(settings_.connect_timeout).count()));
  Set(CURLOPT_ERRORBUFFER, words_.data());
  Set(CURLOPT_PROXY, proxy.Reveal().c_str());
  Set(CURLOPT_NOPROXY, "");  // ours to decide (proxy.h)
  Set(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
  Set(CURLOPT_SSL_VERIFYPEER, 1L);
  Set(CURLOPT_SSL_VERIFYHOST, 2L);
  Set(CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
  if (!settings_.ca_bundle.empty()) Set(CURLOPT_CAINFO, settings_.ca_bundle.c_str());
  // libcurl itself repeats a request whose kept connection turns out to be closed.
  if (!sending_.is_repeatable) Set(CURLOPT_FRESH_CONNECT, 1L);
}

void CurlExchange::SetCallbacks() {
  Set(CURLOPT_HEADERDATA, this);
  Set(
      CURLOPT_HEADERFUNCTION, +[](char* text, size_t, size_t size, void* self) -> size_t {
        return Of(self).OnHeaderLine({text, size}) ? size : 0;
      });
  Set(CURLOPT_WRITEDATA, this);
  Set(
      CURLOPT_WRITEFUNCTION, +[](char* bytes, size_t, size_t size, void* self) -> size_t {
        return Of(self).OnBody(std::as_bytes(std::span(bytes, size))) ? size : 0;
      });
  Set(CURLOPT_PREREQDATA, this);
  Set(
      CURLOPT_PREREQFUNCTION, +[](void* self, char* address, char*, int, int) -> int {
        return Of(self).OnConnected(address) ? CURL_PREREQFUNC_OK : CURL_PREREQFUNC_ABORT;
      });
  Set(CURLOPT_OPENSOCKETDATA, this);
  Set(
      CURLOPT_OPENSOCKETFUNCTION,
      +[](void* self, curlsocktype, curl_sockaddr* address) -> curl_socket_t {
        return Of(self).OpenSocket(*address);
      });
  Set(CURLOPT_NOPROGRESS, 0L);
  Set(CURLOPT_XFERINFODATA, this);
  Set(
      CURLOPT_XFERINFOFUNCTION,
      +[](void* self, curl_off_t, curl_off_t received, curl_off_t, curl_off_t sent) -> int {
        Of(self).sent_bytes_ = static_cast<uint64_t>(sent);
        Of(self).moved_bytes_ = static_cast<uint64_t>(received + sent);
        return 0;
      });
}

void CurlExchange::SetMethod() {
  const std::string& method = sending_.method;
  const bool has_body =
      !sending_.body.empty() || method == "POST" || method == "PUT" || method == "PATCH";
  if (method == "HEAD") {
    Set(CURLOPT_NOBODY, 1L);
  } else if (has_body) {
    Set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(sending_.body.size()));
    Set(CURLOPT_POSTFIELDS,
        sending_.body.empty() ? "" : reinterpret_cast<const char*>(sending_.body.data()));
    Set(CURLOPT_CUSTOMREQUEST, method.c_str());
  } else {
    Set(CURLOPT_HTTPGET, 1L);
    if (method != "GET") Set(CURLOPT_CUSTOMREQUEST, method.c_str());
  }
}

bool CurlExchange::AddHeader(const std::string& line) {
  curl_slist* longer = curl_slist_append(headers_.get(), line.c_str());
  if (longer == nullptr) return false;
  (void)headers_.release();  // it is the head of `longer`, or was null
  headers_.reset(longer);
  return true;
}

Result<void> CurlExchange::SetHeaders() {
  // Without a value libcurl leaves its own header away: no wait for a "100 Continue", no claim
  // that a body is a form.
  bool is_added = AddHeader("Expect:");
  if (FindHeader(sending_.headers, "Content-Type") == nullptr)
    is_added = is_added && AddHeader("Content-Type:");
  if (FindHeader(sending_.headers, "User-Agent") == nullptr) Set(CURLOPT_USERAGENT, "ckpt");
  for (const Header& header : sending_.headers) {
    if ((header.name + header.value).find_first_of(std::string_view("\r\n\0", 3)) !=
        std::string::npos)
      return Fail(Code::kUsage,
                  fmt::format("a line break in the header {}", Excerpt(header.name, 40)),
                  "look at the token or name that this header is made of");
    is_added = is_added && AddHeader(header.value.empty() ? header.name + ";"
                                                          : header.name + ": " + header.value);
  }
  if (!is_added) return Fail(Code::kResources, "no memory for a request", "allow more memory");
  Set(CURLOPT_HTTPHEADER, headers_.get());
  return {};
}

bool CurlExchange::OnHeaderLine(std::string_view line) {
  header_bytes_ += line.size();
  if (header_bytes_ > kMostHeaderBytes) return false;
  if (has_head_) return true;  // trailers of a chunked body
  if (const auto status = ParseStatusLine(line)) {
    status_ = *status;
    answer_headers_.clear();
    return true;
  }
  if (!Trimmed(line).empty()) {
    if (auto header = ParseHeaderLine(line)) answer_headers_.push_back(*std::move(header));
    return true;
  }
  if (status_ >= 100 && status_ <= 199) return true;
  has_head_ = true;
  is_stopped_ = !receiver_->OnHead(status_, std::move(answer_headers_));
  return !is_stopped_;
}

bool CurlExchange::OnBody(std::span<const std::byte> bytes) {
  is_stopped_ = !receiver_->OnBody(bytes);
  return !is_stopped_;
}

// A kept connection opens no socket, so its address is looked at here.
bool CurlExchange::OnConnected(const char* address) {
  if (!has_proxy_) peer_ = address;
  is_refused_ = sending_.refuses_private_address && !has_proxy_ && !IsPublicAddress(peer_);
  was_sent_ = !is_refused_;
  mark_ = std::chrono::steady_clock::now();
  mark_bytes_ = moved_bytes_;
  return !is_refused_;
}

curl_socket_t CurlExchange::OpenSocket(const curl_sockaddr& address) {
  if (sending_.refuses_private_address && !has_proxy_ && !IsPublicAddress(TextOf(address.addr))) {
    is_refused_ = true;
    return CURL_SOCKET_BAD;
  }
  return socket(address.family, address.socktype | SOCK_CLOEXEC, address.protocol);
}

bool CurlExchange::IsStalled(Time now) {
  if (!was_sent_) return false;  // the connection has a timeout of its own
  const bool is_read = sending_.method == "GET" || sending_.method == "HEAD";
  const bool is_sent_whole = sent_bytes_ >= sending_.body.size();
  const auto window =
      settings_.stall * (is_read || !is_sent_whole || has_head_ ? 1 : kPatienceForWrites);
  const auto least = kKiB * static_cast<uint64_t>(window.count());
  if (moved_bytes_ - mark_bytes_ >= least) {
    mark_ = now;
    mark_bytes_ = moved_bytes_;
  }
  return now - mark_ >= window;
}

Ending CurlExchange::End(int curl_code) {
  const auto code = static_cast<CURLcode>(curl_code);
  Ending ending;
  ending.words = words_[0] != '\0' ? words_.data() : curl_easy_strerror(code);
  ending.kind = EndingKind(curl_code, was_sent_, ending.words);
  if (is_stopped_) ending.kind = Ending::Kind::kStopped;
  if (is_refused_ && !was_sent_ && code != CURLE_OK) ending.kind = Ending::Kind::kPrivateAddress;
  long os_error = 0;  // NOLINT(google-runtime-int): libcurl's type
  curl_easy_getinfo(handle_.get(), CURLINFO_OS_ERRNO, &os_error);
  if (ending.kind == Ending::Kind::kNoConnection && os_error != 0)
    ending.words += " (" + std::generic_category().message(static_cast<int>(os_error)) + ")";
  // It should never hold the query; the check costs nothing.
  const std::string& query = sending_.url.query().Reveal();
  if (!query.empty() && ending.words.find(query) != std::string::npos)
    ending.words = curl_easy_strerror(code);
  ending.peer = std::move(peer_);
  ending.was_sent = was_sent_;
  curl_off_t sent_bytes = 0;
  curl_easy_getinfo(handle_.get(), CURLINFO_SIZE_UPLOAD_T, &sent_bytes);
  ending.sent_bytes = static_cast<uint64_t>(sent_bytes);
  sending_ = {};
  receiver_ = nullptr;
  headers_.reset();
  curl_easy_reset(handle_.get());  // it holds views of what has just gone
  return ending;
}

}  // namespace

Result<std::unique_ptr<Exchange>> Exchange::Make(Settings settings) {
  Handle handle(curl_easy_init(), &curl_easy_cleanup);
  if (!handle) return Fail(Code::kResources, "no memory for a connection", "allow more memory");
  return std::make_unique<CurlExchange>(std::move(settings), std::move(handle));
}

}  // namespace ckpt::http
