#include "store/gs/resumable_upload.h"

#include <fmt/format.h>

#include <charconv>
#include <nlohmann/json.hpp>

#include "base/json_text.h"
#include "store/gs/backoff.h"

namespace ckpt::gs {
namespace {

constexpr int kMostRestarts = 3;

bool IsTransient(const Result<http::Response>& answer) {
  if (!answer) {
    const Code code = answer.error().code;
    return code == Code::kUnavailable || code == Code::kTemporary || code == Code::kIo;
  }
  return answer->status >= 500 || answer->status == 408 || answer->status == 429;
}

bool IsEnd(int status) { return status == 200 || status == 201 || status == 412; }
bool IsGone(int status) { return status == 404 || status == 410; }

}  // namespace

std::string PrintContentRange(const ByteRange& range, std::optional<uint64_t> total) {
  const std::string of = total ? std::to_string(*total) : "*";
  if (range.empty()) return "bytes */" + of;
  return fmt::format("bytes {}-{}/{}", range.begin, range.end - 1, of);
}

std::optional<uint64_t> ParseAcknowledged(const std::string* range_header) {
  if (range_header == nullptr) return 0;
  constexpr std::string_view prefix = "bytes=0-";
  if (!range_header->starts_with(prefix)) return std::nullopt;
  uint64_t last = 0;
  const char* const end = range_header->data() + range_header->size();
  const auto [stop, error] = std::from_chars(range_header->data() + prefix.size(), end, last);
  if (error != std::errc() || stop != end || last == UINT64_MAX) return std::nullopt;
  return last + 1;
}

Result<ResumableUpload> ResumableUpload::Start(Client& client, std::string object,
                                               std::string generation) {
  ResumableUpload upload(client, std::move(object), std::move(generation));
  CKPT_TRY_VOID(upload.Open().map_error(client.At(upload.object_)));
  return upload;
}

Result<void> ResumableUpload::Open() {
  const std::string metadata =
      PrintJsonLine({{"name", object_}, {"contentType", "application/octet-stream"}});
  http::Request request =
      client_->Upload(fmt::format("uploadType=resumable&name={}&ifGenerationMatch={}",
                                  http::PercentEncode(object_), generation_));
  request.headers.push_back({"Content-Type", "application/json; charset=UTF-8"});
  request.headers.push_back({"X-Upload-Content-Type", "application/octet-stream"});
  request.body = std::as_bytes(std::span(metadata));
  CKPT_TRY(const http::Response response, client_->Send(request));
  if (response.status != 200 && response.status != 201)
    return Fail(client_->Explain(response, kCreateObjects));
  const std::string* location = http::FindHeader(response.headers, "Location");
  if (location == nullptr)
    return Fail(Code::kUnavailable, "the upload was accepted, but its address is missing",
                "is the endpoint a Cloud Storage service?");
  CKPT_TRY(session_, request.url.Resolve(*location));
  if (session_.Origin() != request.url.Origin())
    return Fail(Code::kUnavailable,
                fmt::format("the upload was sent to another host: {} instead of {}",
                            session_.Origin(), request.url.Origin()),
                "configure the emulator's external address as STORAGE_EMULATOR_HOST");
  acknowledged_bytes_ = 0;
  return {};
}

Result<http::Response> ResumableUpload::Put(std::span<const std::byte> bytes,
                                            std::optional<uint64_t> total) {
  http::Request request;
  request.method = "PUT";
  request.url = session_;
  request.headers.push_back(
      {"Content-Range",
       PrintContentRange({acknowledged_bytes_, acknowledged_bytes_ + bytes.size()}, total)});
  request.body = bytes;
  request.is_repeatable = bytes.empty();  // a question may be asked again
  request.retries_statuses = bytes.empty();
  request.follows_redirects = false;  // 308 is an answer here
  return client_->engine().Send(std::move(request));
}

Result<http::Response> ResumableUpload::Ask(std::optional<uint64_t> total) {
  return Put({}, total);
}

Result<void> ResumableUpload::Send(std::span<const std::byte> bytes) {
  CKPT_TRY_VOID(Drive(bytes, false).map_error(client_->At(object_)));
  return {};
}

Result<http::Response> ResumableUpload::Finish(std::span<const std::byte> bytes) {
  return Drive(bytes, true).map_error(client_->At(object_));
}

Result<http::Response> ResumableUpload::Drive(std::span<const std::byte> bytes, bool is_last) {
  const uint64_t begin = acknowledged_bytes_;
  const uint64_t end = begin + bytes.size();
  const std::optional<uint64_t> total = is_last ? std::optional(end) : std::nullopt;
  Backoff backoff(client_->engine().options());
  int restarts = 0;
  bool is_question = false;
  while (true) {
    Result<http::Response> answer =
        is_question ? Ask(total) : Put(bytes.subspan(acknowledged_bytes_ - begin), total);
    const bool was_question = std::exchange(is_question, false);
    if (IsTransient(answer)) {
      if (!backoff.Wait()) return Explained(std::move(answer));
      is_question = true;
      continue;
    }
    if (!answer || (is_last && IsEnd(answer->status))) return answer;
    if (IsGone(answer->status)) {
      CKPT_TRY_VOID(Restart(begin, restarts++));
      continue;
    }
    if (answer->status != 308) return Explained(std::move(answer));
    const uint64_t before = acknowledged_bytes_;
    CKPT_TRY_VOID(Acknowledge(*answer, end));
    if (acknowledged_bytes_ == end && !is_last) return answer;
    if (acknowledged_bytes_ > before) {
      backoff.Reset();
    } else if (!was_question && !backoff.Wait()) {
      return Fail(Code::kUnavailable, "the service takes no more bytes of this upload",
                  "try again later");
    }
    is_question = acknowledged_bytes_ == end;  // all is there: the question says that it is all
  }
}

Result<http::Response> ResumableUpload::Explained(Result<http::Response> answer) const {
  if (!answer) return answer;
  return Fail(client_->Explain(*answer, kCreateObjects));
}

Result<void> ResumableUpload::Acknowledge(const http::Response& answer, uint64_t end) {
  const auto acknowledged = ParseAcknowledged(http::FindHeader(answer.headers, "Range"));
  if (!acknowledged || *acknowledged < acknowledged_bytes_ || *acknowledged > end)
    return Fail(Code::kIo,
                fmt::format("the service acknowledges bytes that it cannot have: {} of {} to "
                            "{} that were sent",
                            acknowledged ? std::to_string(*acknowledged) : "an unknown number",
                            acknowledged_bytes_, end),
                "run again");
  acknowledged_bytes_ = *acknowledged;
  return {};
}

Result<void> ResumableUpload::Restart(uint64_t begin, int restarts) {
  // The session is gone, and all its bytes are still here.
  if (begin == 0 && restarts < kMostRestarts) return Open();
  return Fail(Code::kIo,
              fmt::format("the upload session ended at byte {} of an object that cannot be sent "
                          "again from its beginning",
                          begin),
              "run again");
}

void ResumableUpload::Cancel() {
  http::Request request;
  request.method = "DELETE";
  request.url = session_;
  request.is_repeatable = false;
  request.retries_statuses = false;
  request.follows_redirects = false;
  static_cast<void>(client_->engine().Send(std::move(request)));  // 499 is the usual answer
}

}  // namespace ckpt::gs
