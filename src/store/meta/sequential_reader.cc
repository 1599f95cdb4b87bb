#include "store/meta/sequential_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <utility>

#include "base/check.h"
#include "base/message_digest.h"
#include "base/text.h"
#include "store/http/retry.h"
#include "store/meta/explain.h"
#include "store/meta/long_get.h"
#include "store/meta/stream_window.h"
#include "store/ready.h"

namespace ckpt {
namespace {

using SteadyClock = std::chrono::steady_clock;

// What one Pull() brings must not push itself out.
constexpr size_t kLeastWindowBytes = 1 << 20;

class SequentialReader final : public ObjectReader {
 public:
  SequentialReader(std::shared_ptr<http::Engine> engine, ObjectInfo info, SequentialObject object,
                   Uri place, SequentialOptions options, std::shared_ptr<LongGetCounts> counts)
      : engine_(std::move(engine)),
        info_(std::move(info)),
        object_(std::move(object)),
        place_(std::move(place)),
        options_(options),
        counts_(std::move(counts)),
        window_(std::max(options.window_bytes, kLeastWindowBytes)) {}

  const ObjectInfo& info() const override { return info_; }

  IoFuture ReadWindow(ByteRange range, std::span<std::byte> window) override {
    if (Result<void> fits = CheckEnd(range); !fits) return Ready(std::move(fits));
    const std::lock_guard lock(mutex_);
    return Ready(FromStream(range, window.subspan(range.begin % kIoAlignment, range.size()))
                     .map_error(Place(range)));
  }

  Result<void> Read(ByteRange range, std::span<std::byte> into) override {
    CKPT_CHECK(into.size() == range.size());
    CKPT_TRY_VOID(CheckEnd(range));
    if (range.empty()) return {};
    {
      const std::lock_guard lock(mutex_);
      if (PassesSoon(range)) return FromStream(range, into).map_error(Place(range));
    }
    return Alone(range, into).map_error(Place(range));
  }

 private:
  std::function<Error(Error)> Place(ByteRange range) const {
    return [this, range](Error error) {
      error.where.push_back({"byte", ToString(range)});
      error.where.push_back({"file", Printable(place_.PrintBelow(info_.name))});
      return error;
    };
  }

  Result<void> CheckEnd(ByteRange range) const {
    if (range.end <= info_.size_bytes) return {};
    return Result<void>(Fail(Code::kBadInput,
                             fmt::format("ends at byte {}, {} expected: truncated?",
                                         info_.size_bytes, range.end),
                             "fetch this file again"))
        .map_error(Place(range));
  }

  // Whether the stream holds the beginning, or will soon.
  bool IsNear(uint64_t offset) const {
    const ByteRange held = window_.held();
    return is_begun_ && held.begin <= offset &&
           (offset <= held.end || offset - held.end <= options_.most_gap_bytes);
  }
  bool PassesSoon(ByteRange range) const {
    return IsNear(range.begin) && (range.end <= window_.held().end || IsNear(range.end));
  }

  // A lock is held while it waits, as the one stream has one reader at a time.
  Result<void> FromStream(ByteRange range, std::span<std::byte> into) {
    last_progress_ = SteadyClock::now();
    unsigned failures = 0;
    while (!range.empty()) {
      const ByteRange held = window_.held();
      if (is_begun_ && held.begin <= range.begin && range.begin < held.end) {
        const ByteRange part{range.begin, std::min(range.end, held.end)};
        window_.Copy(part, into.first(part.size()));
        into = into.subspan(part.size());
        range.begin = part.end;
        continue;
      }
      CKPT_TRY_VOID(OpenNear(range.begin));
      const uint64_t before = window_.held().end;
      const Result<LongGet::Pulled> result = get_->Pull();
      const uint64_t received = window_.held().end - before;
      counts_->received_bytes += received;
      if (received > 0) {
        last_progress_ = SteadyClock::now();
        failures = 0;
      }
      if (result && result->kind == LongGet::Pulled::Kind::kBytes) continue;
      get_.reset();
      CKPT_TRY(const LongGet::Pulled pulled, result);
      if (pulled.kind == LongGet::Pulled::Kind::kEnd) continue;
      CKPT_TRY_VOID(WaitAfter(pulled, failures++));
      is_repeat_ = true;
    }
    return {};
  }

  // A GET under way that reaches `offset` soon: the present one, its continuation, or a new one.
  Result<void> OpenNear(uint64_t offset) {
    const bool is_near = IsNear(offset);
    if (get_ != nullptr && is_near) return {};
    get_.reset();
    uint64_t begin = window_.held().end;
    if (!is_near) {
      if (is_begun_) ++counts_->jumps;
      begin = offset;
      window_.Restart(begin);
    }
    is_begun_ = true;
    ++counts_->gets;
    if (std::exchange(is_repeat_, false)) ++counts_->repeats;
    const uint64_t end = begin + std::min(options_.most_get_bytes, info_.size_bytes - begin);
    CKPT_TRY(get_, LongGet::Start(*engine_, object_.url, {begin, end}, info_.size_bytes,
                                  object_.etag, window_));
    return {};
  }

  // Until the next try; the error where there is none.
  Result<void> WaitAfter(const LongGet::Pulled& pulled, unsigned failures) {
    const bool is_refused = pulled.kind == LongGet::Pulled::Kind::kRefused;
    if (is_refused && !http::IsRetriableStatus(pulled.status))
      return Fail(ExplainMeta(object_.url, pulled.status));
    const http::EngineOptions& options = engine_->options();
    if (SteadyClock::now() - last_progress_ >= options.deadline) {
      if (is_refused) return Fail(ExplainMeta(object_.url, pulled.status));
      return Fail({Code::kUnavailable,
                   "the download broke, and cannot be gone on with: " + Printable(pulled.words),
                   {},
                   {{"address", Printable(object_.url.Print())}},
                   "run again later: all that is done is kept"});
    }
    // No chance in it: there is one stream, which meets no crowd of its own.
    constexpr double middle = 0.5;
    const auto delay = http::RetryDelay(options.first_delay, options.delay_cap, failures, middle);
    std::mutex mutex;
    std::unique_lock lock(mutex);
    std::condition_variable_any never;
    never.wait_for(lock, options.stop, delay, [] { return false; });
    return {};
  }

  Result<void> Alone(ByteRange range, std::span<std::byte> into) {
    http::Request request;
    request.url = object_.url;
    request.headers = {{"Accept-Encoding", "identity"}};
    request.range = range;
    request.into = into;
    request.total_bytes = info_.size_bytes;
    CKPT_TRY(const http::Response response, engine_->Send(std::move(request)));
    if (response.status != 206 && response.status != 200)
      return Fail(ExplainMeta(object_.url, response.status));
    if (object_.md5.empty() || range.size() != info_.size_bytes) return {};
    const std::string md5 = Md5Hex({reinterpret_cast<const char*>(into.data()), into.size()});
    if (md5 == object_.md5) return {};
    return Fail(Code::kBadInput,
                fmt::format("the bytes have the md5 {}, checklist.chk names {}", md5, object_.md5),
                "damaged on the way: run again; if it stays, request a new link");
  }

  const std::shared_ptr<http::Engine> engine_;
  const ObjectInfo info_;
  const SequentialObject object_;
  const Uri place_;
  const SequentialOptions options_;
  const std::shared_ptr<LongGetCounts> counts_;

  std::mutex mutex_;  // of all below
  StreamWindow window_;
  std::unique_ptr<LongGet> get_;
  bool is_begun_ = false;
  bool is_repeat_ = false;  // the next GET follows an error
  SteadyClock::time_point last_progress_;
};

}  // namespace

std::unique_ptr<ObjectReader> OpenSequentialObject(std::shared_ptr<http::Engine> engine,
                                                   ObjectInfo info, SequentialObject object,
                                                   Uri place, SequentialOptions options,
                                                   std::shared_ptr<LongGetCounts> counts) {
  return std::make_unique<SequentialReader>(std::move(engine), std::move(info), std::move(object),
                                            std::move(place), options, std::move(counts));
}

}  // namespace ckpt
