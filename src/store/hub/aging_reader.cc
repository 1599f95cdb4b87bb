#include "store/hub/aging_reader.h"

#include <future>
#include <mutex>
#include <utility>
#include <vector>

#include "store/ready.h"

namespace ckpt {
namespace {

class AgingReader final : public ObjectReader {
 public:
  AgingReader(ObjectInfo info, std::function<Result<std::unique_ptr<ObjectReader>>()> open,
              std::chrono::milliseconds most_age, std::unique_ptr<ObjectReader> first, Clock clock)
      : info_(std::move(info)),
        open_(std::move(open)),
        most_age_(most_age),
        clock_(std::move(clock)) {
    if (first == nullptr) return;
    readers_.push_back(std::move(first));
    std::promise<Opened> opened;
    opened.set_value(readers_.back().get());
    opening_ = opened.get_future().share();
    since_ = clock_();
  }

  const ObjectInfo& info() const override { return info_; }

  IoFuture ReadWindow(ByteRange range, std::span<std::byte> window) override {
    const Opened reader = Current();
    if (!reader) return Ready(Fail(reader.error()));
    return (*reader)->ReadWindow(range, window);
  }

  Result<void> Read(ByteRange range, std::span<std::byte> into) override {
    CKPT_TRY(ObjectReader * reader, Current());
    return reader->Read(range, into);
  }

 private:
  using Opened = Result<ObjectReader*>;  // owned by readers_

  Opened Current() {
    std::promise<Opened> promise;
    std::shared_future<Opened> opening;
    bool is_mine = false;
    {
      const std::lock_guard lock(mutex_);
      if (!opening_.valid() || clock_() - since_ >= most_age_) {
        opening_ = promise.get_future().share();
        since_ = clock_();
        is_mine = true;
      }
      opening = opening_;
    }
    // The one that opens does so without the lock, and all who came meanwhile wait for it.
    if (is_mine) promise.set_value(Open());
    return opening.get();
  }

  Opened Open() {
    Result<std::unique_ptr<ObjectReader>> reader = open_();
    const std::lock_guard lock(mutex_);
    if (!reader) {
      opening_ = {};  // the next read tries again
      return Fail(std::move(reader).error());
    }
    readers_.push_back(*std::move(reader));
    return readers_.back().get();
  }

  const ObjectInfo info_;
  const std::function<Result<std::unique_ptr<ObjectReader>>()> open_;
  const std::chrono::milliseconds most_age_;
  const Clock clock_;
  std::mutex mutex_;
  std::shared_future<Opened> opening_;
  std::chrono::steady_clock::time_point since_;
  std::vector<std::unique_ptr<ObjectReader>> readers_;
};

}  // namespace

std::unique_ptr<ObjectReader> OpenAgingReader(
    ObjectInfo info, std::function<Result<std::unique_ptr<ObjectReader>>()> open,
    std::chrono::milliseconds most_age, std::unique_ptr<ObjectReader> first, Clock clock) {
  return std::make_unique<AgingReader>(std::move(info), std::move(open), most_age, std::move(first),
                                       std::move(clock));
}

}  // namespace ckpt
