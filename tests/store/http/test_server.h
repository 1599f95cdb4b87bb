#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "base/text.h"

namespace ckpt::http {

/// A request as the server got it.
struct Received {
  std::string method;
  std::string target;
  std::map<std::string, std::string> headers;  ///< names in lower case
  std::string body;
  size_t number = 0;  ///< of all requests, from 0

  std::string Header(const std::string& name) const {
    const auto found = headers.find(name);
    return found == headers.end() ? "" : found->second;
  }
};

struct Answer {  // defaults for all, so that a test names only what it is about
  int status = 200;
  std::vector<std::pair<std::string, std::string>> headers{};
  std::string body{};
  std::optional<size_t> announced_bytes{};  ///< Content-Length, where it is not the body's size
  std::optional<size_t> cut_after{};        ///< closes the connection after so much of the body
  bool is_stalled = false;                  ///< says no more after `cut_after`, and stays open
  bool is_hang_up = false;                  ///< closes without an answer
  std::chrono::milliseconds delay{0};       ///< before the first byte
};

/// An HTTP/1.1 server on 127.0.0.1 that answers as a function says; thread-safe to ask for what it
/// got. Answers are made side by side, so the function must be thread-safe too.
class TestServer {
 public:
  using Handler = std::function<Answer(const Received&)>;

  explicit TestServer(Handler handler) : handler_(std::move(handler)) {
    listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    if (bind(listener_, generic, size) != 0 || listen(listener_, 128) != 0) std::abort();
    getsockname(listener_, generic, &size);
    port_ = ntohs(address.sin_port);
    acceptor_ = std::thread([this] { Accept(); });
  }
  TestServer(const TestServer&) = delete;
  TestServer& operator=(const TestServer&) = delete;

  ~TestServer() {
    {
      const std::lock_guard lock(mutex_);
      is_ending_ = true;
      for (const int fd : open_) shutdown(fd, SHUT_RDWR);
    }
    changed_.notify_all();
    shutdown(listener_, SHUT_RDWR);
    acceptor_.join();
    for (std::thread& thread : threads_) thread.join();
    for (const int fd : open_) close(fd);
    close(listener_);
  }

  std::string Address(const std::string& path = "/") const {
    return "http://127.0.0.1:" + std::to_string(port_) + path;
  }
  std::vector<Received> received() const {
    const std::lock_guard lock(mutex_);
    return received_;
  }
  size_t connections() const {
    const std::lock_guard lock(mutex_);
    return open_.size();
  }

 private:
  void Accept() {
    while (true) {
      const int fd = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      const std::lock_guard lock(mutex_);
      if (fd < 0 || is_ending_) {
        if (fd >= 0) close(fd);
        return;
      }
      open_.push_back(fd);
      threads_.emplace_back([this, fd] { Serve(fd); });
    }
  }

  void Serve(int fd) {
    std::string buffer;
    while (std::optional<Received> request = ReadRequest(fd, buffer)) {
      {
        const std::lock_guard lock(mutex_);
        request->number = received_.size();
        received_.push_back(*request);
      }
      if (!Send(fd, *request, handler_(*request))) break;
    }
    shutdown(fd, SHUT_RDWR);  // closed at the end, so that no number is used twice
  }

  static bool Fill(int fd, std::string& buffer) {
    std::array<char, 65536> bytes{};
    const ssize_t came = recv(fd, bytes.data(), bytes.size(), 0);
    if (came <= 0) return false;
    buffer.append(bytes.data(), static_cast<size_t>(came));
    return true;
  }

  static std::optional<Received> ReadRequest(int fd, std::string& buffer) {
    size_t end = 0;
    while ((end = buffer.find("\r\n\r\n")) == std::string::npos) {
      if (!Fill(fd, buffer)) return std::nullopt;
    }
    Received request;
    const std::vector<std::string> lines = Split(buffer.substr(0, end), '\n');
    const std::vector<std::string> words = Split(lines[0], ' ');
    request.method = words[0];
    request.target = words.size() > 1 ? words[1] : "";
    for (const std::string& line : lines) {
      const size_t colon = line.find(": ");
      if (colon != std::string::npos)
        request.headers[Lower(line.substr(0, colon))] = Trimmed(line.substr(colon + 2));
    }
    buffer.erase(0, end + 4);
    const std::string length = request.Header("content-length");
    const size_t size = length.empty() ? 0 : std::stoull(length);
    while (buffer.size() < size) {
      if (!Fill(fd, buffer)) return std::nullopt;
    }
    request.body = buffer.substr(0, size);
    buffer.erase(0, size);
    return request;
  }

  static bool SendAll(int fd, std::string_view text) {
    while (!text.empty()) {
      const ssize_t sent = send(fd, text.data(), text.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      text.remove_prefix(static_cast<size_t>(sent));
    }
    return true;
  }

  // False where the connection is over.
  bool Send(int fd, const Received& request, const Answer& answer) {
    if (answer.is_hang_up || !Wait(answer.delay)) return false;
    std::string text = "HTTP/1.1 " + std::to_string(answer.status) + " Status\r\n";
    for (const auto& [name, value] : answer.headers)
      text.append(name).append(": ").append(value).append("\r\n");
    text +=
        "Content-Length: " + std::to_string(answer.announced_bytes.value_or(answer.body.size())) +
        "\r\n\r\n";
    if (request.method != "HEAD")
      text += answer.body.substr(0, answer.cut_after.value_or(SIZE_MAX));
    if (!SendAll(fd, text)) return false;
    if (answer.is_stalled) (void)Wait(std::chrono::hours(1));
    return !answer.cut_after && !answer.is_stalled;
  }

  // False if the server ends meanwhile.
  bool Wait(std::chrono::milliseconds time) {
    std::unique_lock lock(mutex_);
    return !changed_.wait_for(lock, time, [&] { return is_ending_; });
  }

  const Handler handler_;
  int listener_ = -1;
  uint16_t port_ = 0;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool is_ending_ = false;
  std::vector<int> open_;
  std::vector<Received> received_;
  std::vector<std::thread>
      threads_;  // grows in `acceptor_` only, which ends before they are joined
  std::thread acceptor_;
};

/// What a good server says to a request for (part of) `object`.
inline Answer AnswerWith(const std::string& object, const Received& request) {
  const std::string range = request.Header("range");
  if (!range.starts_with("bytes=")) return {.body = object};
  const size_t dash = range.find('-');
  const size_t first = std::stoull(range.substr(6, dash - 6));
  const size_t last = std::stoull(range.substr(dash + 1));
  if (last >= object.size())
    return {.status = 416,
            .headers = {{"Content-Range", "bytes */" + std::to_string(object.size())}}};
  return {
      .status = 206,
      .headers = {{"Content-Range", "bytes " + std::to_string(first) + "-" + std::to_string(last) +
                                        "/" + std::to_string(object.size())}},
      .body = object.substr(first, last - first + 1)};
}

}  // namespace ckpt::http
