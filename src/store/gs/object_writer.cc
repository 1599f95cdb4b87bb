#include "store/gs/object_writer.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>

#include "base/check.h"
#include "store/gs/resumable_upload.h"
#include "store/gs/small_upload.h"
#include "store/gs/upload_buffer.h"

namespace ckpt::gs {
namespace {

constexpr uint64_t kHeapBytes = 64 << 10;  // markers and indexes: no reason to wait for a grant

class GsObjectWriter final : public ObjectWriter {
 public:
  GsObjectWriter(Client& client, std::string object, std::string name, bool is_create_only)
      : client_(client),
        object_(std::move(object)),
        name_(std::move(name)),
        is_create_only_(is_create_only),
        chunk_bytes_(client.options().chunk_bytes),
        small_bytes_(std::min(client.options().small_bytes, chunk_bytes_)),
        buffer_(UploadBuffer::OnHeap(std::min(kHeapBytes, chunk_bytes_))) {}
  GsObjectWriter(const GsObjectWriter&) = delete;
  GsObjectWriter& operator=(const GsObjectWriter&) = delete;
  ~GsObjectWriter() override {
    if (upload_ && !is_done_) upload_->Cancel();
  }

  Result<void> Append(std::span<const std::byte> bytes) override {
    CKPT_CHECK(!is_done_);
    while (!bytes.empty()) {
      if (filled_bytes_ == buffer_.capacity()) CKPT_TRY_VOID(MakeRoom());
      const auto count =
          std::min<uint64_t>({bytes.size(), buffer_.capacity() - filled_bytes_, kCachedBytes});
      std::memcpy(buffer_.bytes().data() + filled_bytes_, bytes.data(), count);
      crc32c_.Append(bytes.first(count));
      filled_bytes_ += count;
      bytes = bytes.subspan(count);
    }
    return {};
  }

  Result<ObjectInfo> Commit() override {
    CKPT_CHECK(!is_done_);
    CKPT_TRY(const ObjectMeta made, Finish());
    is_done_ = true;
    return InfoOf(made, name_);
  }

 private:
  // A full chunk leaves only when more follows: the last one must say that it is the last.
  Result<void> MakeRoom() {
    if (buffer_.capacity() < chunk_bytes_) {
      CKPT_TRY(UploadBuffer larger,
               UploadBuffer::Allocate(client_.budget(), chunk_bytes_, client_.stop()));
      std::memcpy(larger.bytes().data(), buffer_.bytes().data(), filled_bytes_);
      buffer_ = std::move(larger);
      return {};
    }
    if (!upload_) CKPT_TRY_VOID(Start());
    CKPT_TRY_VOID(upload_->Send(buffer_.bytes()));
    filled_bytes_ = 0;
    return {};
  }

  Result<void> Start() {
    if (is_create_only_) CKPT_TRY_VOID(CheckNew(client_, object_));
    CKPT_TRY(std::string generation, GenerationToReplace(client_, object_, is_create_only_));
    CKPT_TRY(upload_, ResumableUpload::Start(client_, object_, std::move(generation)));
    return {};
  }

  Result<ObjectMeta> Finish() {
    if (!upload_ && crc32c_.size_bytes() <= small_bytes_)
      return UploadSmall(client_, object_, buffer_, crc32c_, is_create_only_);
    if (!upload_) CKPT_TRY_VOID(Start());
    CKPT_TRY(const http::Response response, upload_->Finish(buffer_.bytes().first(filled_bytes_)));
    if (response.status == 412) return AcceptEqual(client_, object_, crc32c_);
    CKPT_TRY(ObjectMeta made, ParseObject(response.body).map_error(client_.At(object_)));
    return CheckMade(client_, std::move(made), crc32c_);
  }

  Client& client_;
  const std::string object_;
  const std::string name_;
  const bool is_create_only_;
  const uint64_t chunk_bytes_;
  const uint64_t small_bytes_;
  UploadBuffer buffer_;
  uint64_t filled_bytes_ = 0;
  Crc32c crc32c_;
  std::optional<ResumableUpload> upload_;
  bool is_done_ = false;
};

}  // namespace

std::unique_ptr<ObjectWriter> MakeObjectWriter(Client& client, std::string object, std::string name,
                                               bool is_create_only) {
  return std::make_unique<GsObjectWriter>(client, std::move(object), std::move(name),
                                          is_create_only);
}

ObjectInfo InfoOf(const ObjectMeta& meta, std::string name) {
  return {std::move(name), meta.size_bytes, {meta.generation}, meta.modified_ns, meta.crc32c};
}

}  // namespace ckpt::gs
