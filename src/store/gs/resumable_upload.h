#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "base/byte_range.h"
#include "base/result.h"
#include "store/gs/client.h"

namespace ckpt::gs {

/// "bytes 0-262143/*", "bytes 262144-262999/263000"; of no bytes: "bytes */263000" or "bytes */*".
std::string PrintContentRange(const ByteRange& range, std::optional<uint64_t> total);
/// The bytes that a 308 acknowledges: "bytes=0-N" is N + 1, no header 0. Nothing for another form.
std::optional<uint64_t> ParseAcknowledged(const std::string* range_header);

/// One resumable session. Its address works without credentials, so it is secret and never printed.
/// Not thread-safe.
class ResumableUpload {
 public:
  /// `generation` is what must be there now, "0" for nothing; the service looks at the beginning
  /// and at the end. A 412 at the beginning is kCannotCreate.
  static Result<ResumableUpload> Start(Client& client, std::string object, std::string generation);

  /// Sends the bytes that follow all before, a multiple of 256 KiB, and returns when the service
  /// has acknowledged them. After a failure it asks how much arrived, and goes on there.
  Result<void> Send(std::span<const std::byte> bytes);
  /// Sends the rest and ends. The answer's status is 200, 201 or 412.
  Result<http::Response> Finish(std::span<const std::byte> bytes);
  /// Nothing of it will appear. Failures are not told: an abandoned session expires by itself.
  void Cancel();

 private:
  ResumableUpload(Client& client, std::string object, std::string generation)
      : client_(&client), object_(std::move(object)), generation_(std::move(generation)) {}
  Result<void> Open();
  Result<http::Response> Put(std::span<const std::byte> bytes, std::optional<uint64_t> total);
  Result<http::Response> Ask(std::optional<uint64_t> total);
  Result<http::Response> Drive(std::span<const std::byte> bytes, bool is_last);
  Result<http::Response> Explained(Result<http::Response> answer) const;
  /// Takes note of what a 308 acknowledges of the bytes up to `end`.
  Result<void> Acknowledge(const http::Response& answer, uint64_t end);
  /// Begins again where the session is gone, if what was sent before `begin` is nothing.
  Result<void> Restart(uint64_t begin, int restarts);

  Client* client_;
  std::string object_;
  std::string generation_;
  http::Url session_;
  uint64_t acknowledged_bytes_ = 0;
};

}  // namespace ckpt::gs
