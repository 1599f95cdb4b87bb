#include "store/http/http_object.h"

#include <fmt/format.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/checked.h"
#include "store/http/quiet_thread.h"
#include "store/ready.h"

namespace ckpt::http {
namespace {

// A renewed address that works for some and never for this piece is not worth more.
constexpr unsigned kMostRenewals = 3;

// One window: many pieces, one future. Shared by its pieces, the last of which ends it.
class Window {
 public:
  explicit Window(size_t pieces) : left_(pieces) {}
  IoFuture future() { return promise_.get_future(); }

  // Ready only when all have ended: until then they write to the window's memory.
  void EndPiece(Result<void> result) {
    {
      const std::lock_guard lock(mutex_);
      if (!result && result_) result_ = std::move(result);
      if (--left_ > 0) return;
    }
    promise_.set_value(std::move(result_));
  }

 private:
  std::mutex mutex_;
  size_t left_;
  Result<void> result_;
  std::promise<Result<void>> promise_;
};

struct Piece {
  std::shared_ptr<Window> window;
  ByteRange range;
  std::span<std::byte> into;
  uint64_t address = 0;  // which one it was sent to, counted in renewals of the object
  unsigned renewals = 0;
};

bool IsExpiry(int status) { return status == 400 || status == 403; }

class HttpObject final : public ObjectReader {
 public:
  HttpObject(std::shared_ptr<Engine> engine, ObjectInfo info, ObjectRequest request, Uri place,
             uint64_t most_bytes)
      : engine_(std::move(engine)),
        info_(std::move(info)),
        explain_(std::move(request.explain)),
        renew_(std::move(request.renew)),
        place_(std::move(place)),
        most_bytes_(std::max<uint64_t>(most_bytes, 1)),
        request_(std::move(request.request)) {}
  HttpObject(const HttpObject&) = delete;
  HttpObject& operator=(const HttpObject&) = delete;

  ~HttpObject() override {
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return under_way_ == 0; });
    }
    if (renewer_.joinable()) renewer_.join();
  }

  const ObjectInfo& info() const override { return info_; }

  IoFuture ReadWindow(ByteRange range, std::span<std::byte> window) override {
    CKPT_CHECK(window.size() >= AlignOutward(range, kIoAlignment).size());
    return ReadInto(range, window.subspan(range.begin % kIoAlignment, range.size()));
  }

  Result<void> Read(ByteRange range, std::span<std::byte> into) override {
    CKPT_CHECK(into.size() == range.size());
    return ReadInto(range, into).get();
  }

 private:
  IoFuture ReadInto(ByteRange range, std::span<std::byte> into);
  void Send(Piece piece);
  void OnDone(Piece piece, Result<Response> response);
  void End(const Piece& piece, Result<void> result);
  bool AwaitsRenewal(Piece& piece);
  void Renew();

  const std::shared_ptr<Engine> engine_;
  const ObjectInfo info_;
  const std::function<Error(const Response&)> explain_;
  const std::function<Result<Request>()> renew_;
  const Uri place_;
  const uint64_t most_bytes_;

  std::mutex mutex_;
  std::condition_variable changed_;
  Request request_;
  uint64_t address_ = 0;
  bool has_worked_ = false;  // the present address
  size_t under_way_ = 0;
  bool is_renewing_ = false;
  std::vector<Piece> waiting_;  // for the next address
  std::thread renewer_;
};

IoFuture HttpObject::ReadInto(ByteRange range, std::span<std::byte> into) {
  if (range.end > info_.size_bytes) {
    Result<void> result =
        Fail(Code::kBadInput,
             fmt::format("ends at byte {}, {} expected: truncated?", info_.size_bytes, range.end),
             "fetch this file again");
    return Ready(std::move(result)
                     .map_error(Where("byte", ToString(range)))
                     .map_error(Where("file", place_.PrintBelow(info_.name))));
  }
  if (range.empty()) return Ready();
  const uint64_t pieces = CeilDiv(range.size(), most_bytes_);
  const auto window = std::make_shared<Window>(pieces);
  IoFuture future = window->future();
  {
    const std::lock_guard lock(mutex_);
    under_way_ += pieces;
  }
  for (uint64_t i = 0; i < pieces; ++i) {
    const uint64_t offset = i * most_bytes_;
    const uint64_t size = std::min(most_bytes_, range.size() - offset);
    Send({window, {range.begin + offset, range.begin + offset + size}, into.subspan(offset, size)});
  }
  return future;
}

void HttpObject::Send(Piece piece) {
  Request request;
  {
    const std::lock_guard lock(mutex_);
    request = request_;
    piece.address = address_;
  }
  request.range = piece.range;
  request.into = piece.into;
  request.total_bytes = info_.size_bytes;
  engine_->Start(std::move(request), [this, piece = std::move(piece)](Result<Response> response) {
    OnDone(piece, std::move(response));
  });
}

void HttpObject::OnDone(Piece piece, Result<Response> response) {
  if (!response) return End(piece, Fail(std::move(response).error()));
  if (response->status >= 200 && response->status <= 299) {
    {
      const std::lock_guard lock(mutex_);
      has_worked_ = has_worked_ || piece.address == address_;
    }
    return End(piece, {});
  }
  if (IsExpiry(response->status) && AwaitsRenewal(piece)) return;
  End(piece, Fail(explain_(*response)));
}

// True where it took the piece: it goes on with another address.
bool HttpObject::AwaitsRenewal(Piece& piece) {
  if (!renew_ || piece.renewals == kMostRenewals) return false;
  std::unique_lock lock(mutex_);
  const bool is_old = piece.address != address_;  // somebody renewed meanwhile
  if (!is_old && !has_worked_) return false;
  ++piece.renewals;
  if (is_old && !is_renewing_) {
    lock.unlock();
    Send(std::move(piece));
    return true;
  }
  waiting_.push_back(std::move(piece));
  if (is_renewing_) return true;
  if (renewer_.joinable()) renewer_.join();  // it has nothing left to do
  Result<std::thread> thread = StartQuietThread([this] { Renew(); });
  if (!thread) {
    piece = std::move(waiting_.back());
    waiting_.pop_back();
    return false;
  }
  renewer_ = *std::move(thread);
  is_renewing_ = true;
  return true;
}

// The renewing thread's root: until no piece waits. `is_renewing_` falls together with that look,
// so that whoever sees it fallen may join at once.
void HttpObject::Renew() {
  while (true) {
    std::vector<Piece> pieces;
    bool is_needed = false;
    {
      const std::lock_guard lock(mutex_);
      is_renewing_ = !waiting_.empty();
      if (!is_renewing_) return;
      pieces.swap(waiting_);
      is_needed = std::ranges::any_of(
          pieces, [&](const Piece& piece) { return piece.address == address_; });
    }
    std::optional<Error> error;
    if (is_needed) {
      Result<Request> renewed = renew_();
      if (!renewed) error = renewed.error();
      const std::lock_guard lock(mutex_);
      if (renewed) request_ = *std::move(renewed);
      if (!error) ++address_;
      has_worked_ = false;
    }
    for (Piece& piece : pieces) error ? End(piece, Fail(*error)) : Send(std::move(piece));
  }
}

void HttpObject::End(const Piece& piece, Result<void> result) {
  if (!result)
    result = std::move(result)
                 .map_error(Where("byte", ToString(piece.range)))
                 .map_error(Where("file", place_.PrintBelow(info_.name)));
  piece.window->EndPiece(std::move(result));
  const std::lock_guard lock(mutex_);
  --under_way_;
  changed_.notify_all();  // under the lock: the object may end as soon as it is released
}

}  // namespace

std::unique_ptr<ObjectReader> OpenHttpObject(std::shared_ptr<Engine> engine, ObjectInfo info,
                                             ObjectRequest request, Uri place,
                                             uint64_t most_bytes) {
  return std::make_unique<HttpObject>(std::move(engine), std::move(info), std::move(request),
                                      std::move(place), most_bytes);
}

}  // namespace ckpt::http
