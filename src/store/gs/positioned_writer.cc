#include "store/gs/positioned_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <mutex>
#include <optional>
#include <utility>

#include "base/check.h"
#include "store/gs/compose_parts.h"
#include "store/gs/object_writer.h"
#include "store/gs/part_layout.h"
#include "store/gs/part_pool.h"
#include "store/gs/positioned_memory.h"
#include "store/gs/small_upload.h"
#include "store/gs/xml_multipart.h"
#include "store/ready.h"

namespace ckpt::gs {
namespace {

/// A part while it is filled. Its buffer is there from its first byte until it was sent.
struct OpenPart {
  std::mutex mutex;  // of `is_open`: two segments may meet in one part
  bool is_open = false;
  UploadBuffer buffer;
  std::atomic<uint64_t> filled_bytes{0};
  Crc32c crc32c;  // once it is full
};

class GsPositionedWriter final : public PositionedWriter {
 public:
  GsPositionedWriter(Client& client, std::string object, std::string name, uint64_t size_bytes,
                     bool is_create_only, PartLayout layout)
      : client_(client),
        object_(std::move(object)),
        name_(std::move(name)),
        size_bytes_(size_bytes),
        is_create_only_(is_create_only),
        layout_(std::move(layout)),
        parts_(layout_.parts.size()) {}
  GsPositionedWriter(const GsPositionedWriter&) = delete;
  GsPositionedWriter& operator=(const GsPositionedWriter&) = delete;
  ~GsPositionedWriter() override {
    if (pool_) pool_->WaitForSent();
    if (sink_ && !is_done_) sink_->Abandon();
  }

  Result<void> Open(std::string temporary) {
    const PoolSize size = PoolSizeOf(client_.options(), layout_);
    CKPT_TRY(pool_, PartPool::Make(client_.budget(), size.buffers, size.filling, layout_.most_bytes,
                                   client_.stop()));
    if (IsSmall()) return {};
    Result<std::unique_ptr<PartSink>> started = StartXmlMultipart(client_, object_, parts_.size());
    if (started) {
      sink_ = *std::move(started);
      return {};
    }
    if (started.error().code != Code::kDenied) return Fail(std::move(started).error());
    client_.Warn(fmt::format(
        "{}; using temporary objects below {}/ and compose instead, which may cost early deletion",
        started.error().what, client_.Print(temporary)));
    sink_ = MakeComposeParts(client_, object_, std::move(temporary), parts_.size());
    return {};
  }

  uint64_t alignment() const override { return 1; }

  IoFuture WriteAt(uint64_t offset, std::span<const std::byte> bytes) override {
    CKPT_CHECK(!is_done_ && offset <= size_bytes_ && bytes.size() <= size_bytes_ - offset);
    return Ready(Write(offset, bytes));
  }

  Result<std::string> Settle(ByteRange /*range*/) override {
    CKPT_CHECK(!is_done_);
    pool_->WaitForSent();
    CKPT_TRY_VOID(Failure());
    return std::string();
  }

  Result<void> TakeOver(ByteRange /*range*/, std::string_view /*receipt*/) override { return {}; }

  Result<ObjectInfo> Commit() override {
    CKPT_CHECK(!is_done_);
    pool_->WaitForSent();
    CKPT_TRY_VOID(Failure());
    Crc32c whole;
    for (size_t i = 0; i < parts_.size(); ++i) {
      if (parts_[i].filled_bytes != layout_.parts[i].size())
        return Result<ObjectInfo>(
                   Fail(Code::kInternal,
                        fmt::format("{} of {} bytes were written", parts_[i].filled_bytes.load(),
                                    layout_.parts[i].size()),
                        "please report this"))
            .map_error(Where("byte", ToString(layout_.parts[i])))
            .map_error(client_.At(object_));
      whole.Append(parts_[i].crc32c);
    }
    CKPT_TRY(const ObjectMeta made, Finish(whole));
    is_done_ = true;
    return InfoOf(made, name_);
  }

 private:
  // One part within the limits of a single request, which has preconditions.
  bool IsSmall() const {
    return size_bytes_ <= client_.options().small_bytes && parts_.size() <= 1;
  }

  Result<void> Write(uint64_t offset, std::span<const std::byte> bytes) {
    CKPT_TRY_VOID(Failure());
    while (!bytes.empty()) {
      const size_t i = layout_.Find(offset);
      const ByteRange range = layout_.parts[i];
      const auto count = std::min<uint64_t>(bytes.size(), range.end - offset);
      if (Result<void> put = Put(i, offset - range.begin, bytes.first(count)); !put) {
        Remember(put.error());
        return put.map_error(Where("byte", ToString({offset, offset + count})))
            .map_error(client_.At(object_));
      }
      offset += count;
      bytes = bytes.subspan(count);
    }
    return {};
  }

  Result<void> Put(size_t i, uint64_t at, std::span<const std::byte> bytes) {
    OpenPart& part = parts_[i];
    const uint64_t size = layout_.parts[i].size();
    if (part.filled_bytes.load() + bytes.size() > size)
      return Fail(Code::kInternal, "bytes were written twice", "please report this");
    {
      const std::lock_guard lock(part.mutex);
      if (!part.is_open) {
        CKPT_TRY(part.buffer, pool_->Take());
        part.is_open = true;
      }
    }
    std::memcpy(part.buffer.bytes().data() + at, bytes.data(), bytes.size());
    // Whoever fills it up sees the bytes of all others, and sends it.
    if (part.filled_bytes.fetch_add(bytes.size()) + bytes.size() == size) Fill(i);
    return {};
  }

  void Fill(size_t i) {
    OpenPart& part = parts_[i];
    part.crc32c = Crc32c::Of(part.buffer.bytes().first(layout_.parts[i].size()));
    if (IsSmall()) return;  // Commit() sends it
    pool_->Sent();
    client_.engine().Start(
        sink_->PartRequest(i, part.buffer, part.crc32c), [this, i](Result<http::Response> answer) {
          if (!answer) {
            Remember(answer.error());
          } else if (Result<void> taken = sink_->TakeAnswer(i, *answer); !taken) {
            Remember(taken.error());
          }
          // Last: the writer may end as soon as nothing is on its way.
          pool_->GiveBack(std::move(parts_[i].buffer), true);
        });
  }

  Result<ObjectMeta> Finish(const Crc32c& whole) {
    if (IsSmall()) {
      UploadBuffer nothing = UploadBuffer::OnHeap(0);
      return UploadSmall(client_, object_, parts_.empty() ? nothing : parts_[0].buffer, whole,
                         is_create_only_);
    }
    CKPT_TRY(ObjectMeta made, sink_->Complete(whole, is_create_only_));
    sink_->Abandon();  // of the way there
    return made;
  }

  void Remember(const Error& error) {
    const std::lock_guard lock(failure_mutex_);
    if (!failure_) failure_ = error;
  }
  Result<void> Failure() {
    const std::lock_guard lock(failure_mutex_);
    if (!failure_) return {};
    return Result<void>(Fail(*failure_)).map_error(client_.At(object_));
  }

  Client& client_;
  const std::string object_;
  const std::string name_;
  const uint64_t size_bytes_;
  const bool is_create_only_;
  const PartLayout layout_;
  std::vector<OpenPart> parts_;
  std::unique_ptr<PartPool> pool_;
  std::unique_ptr<PartSink> sink_;  // none for a small object
  std::mutex failure_mutex_;
  std::optional<Error> failure_;  // the first; every later write fails with it
  bool is_done_ = false;
};

}  // namespace

Result<std::unique_ptr<PositionedWriter>> MakePositionedWriter(Client& client, std::string object,
                                                               std::string name,
                                                               std::string temporary,
                                                               uint64_t size_bytes,
                                                               const CreateOptions& options) {
  PartLayout layout = CutIntoParts(size_bytes, options.borders, client.options().part_bytes);
  auto writer =
      std::make_unique<GsPositionedWriter>(client, std::move(object), std::move(name), size_bytes,
                                           options.is_create_only, std::move(layout));
  CKPT_TRY_VOID(writer->Open(std::move(temporary)));
  return std::unique_ptr<PositionedWriter>(std::move(writer));
}

}  // namespace ckpt::gs
