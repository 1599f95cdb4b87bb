#include "source/chunk_stream.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <optional>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/checked.h"
#include "format/compress/decompressor.h"
#include "format/zarr/chunk.h"
#include "source/run_segments.h"

namespace ckpt {
namespace {

// Reads under way at once where a source is read in parts.
constexpr uint64_t kReadsAtOnce = 4;
constexpr int kLeastWindowLog = 23;  // what zstd's ordinary levels use at most

Result<void> Refuse(std::string what) {
  return Fail(Code::kBadInput, std::move(what), "the checkpoint is damaged: fetch it again");
}

// From stored bytes, which come piece by piece, to the runs.
class Unpacker {
 public:
  Unpacker(const ZarrCodecs& codecs, uint64_t stored_bytes, uint64_t element_bytes,
           const BoxRuns& runs, std::span<std::byte> out)
      : codecs_(codecs),
        payload_bytes_(stored_bytes -
                       std::min(stored_bytes, codecs.has_crc32c ? kChunkCrcBytes : 0)),
        element_bytes_(element_bytes),
        sink_(runs),
        out_(out) {}

  // `buffer`: what a compressed chunk is decoded into, in turns.
  Result<void> Open(std::span<std::byte> buffer) {
    buffer_ = buffer;
    if (codecs_.compression == Compression::kNone) return {};
    const int window_log = std::clamp(static_cast<int>(std::bit_width(buffer.size())) - 1,
                                      kLeastWindowLog, kMaxWindowLog);
    CKPT_TRY(Decompressor made, Decompressor::Make(codecs_.compression, window_log));
    decompressor_.emplace(std::move(made));
    return {};
  }

  Result<void> Take(std::span<const std::byte> stored) {
    const uint64_t payload =
        std::min<uint64_t>(stored.size(), payload_bytes_ - std::min(payload_bytes_, taken_bytes_));
    taken_bytes_ += stored.size();
    for (const std::byte byte : stored.subspan(payload)) trailer_[trailer_bytes_++] = byte;
    stored = stored.first(payload);
    if (codecs_.has_crc32c) crc_.Append(stored);
    if (!decompressor_) return Give(stored);
    while (!stored.empty() && !is_over_) {
      std::span<std::byte> room = buffer_;
      CKPT_TRY(is_over_, decompressor_->Step(stored, room));
      CKPT_TRY_VOID(Give(buffer_.first(buffer_.size() - room.size())));
    }
    if (!stored.empty())
      return Refuse(fmt::format("{} bytes follow the compressed data", stored.size()));
    return {};
  }

  Result<void> Finish() {
    while (decompressor_ && !is_over_) {  // what the library still holds back
      std::span<const std::byte> nothing;
      std::span<std::byte> room = buffer_;
      CKPT_TRY(is_over_, decompressor_->Step(nothing, room));
      if (!is_over_ && room.size() == buffer_.size())
        return Refuse("truncated: the compressed chunk has no end");
      CKPT_TRY_VOID(Give(buffer_.first(buffer_.size() - room.size())));
    }
    if (given_bytes_ != element_bytes_)
      return Refuse(
          fmt::format("a chunk decodes to {} bytes, not to {}", given_bytes_, element_bytes_));
    if (!codecs_.has_crc32c) return {};
    if (trailer_bytes_ != trailer_.size()) return Refuse("truncated: a chunk without its checksum");
    return CheckCrcValue(crc_, trailer_);
  }

 private:
  Result<void> Give(std::span<const std::byte> elements) {
    if (elements.size() > element_bytes_ - given_bytes_)
      return Refuse(fmt::format("a chunk decodes to more than {} bytes", element_bytes_));
    given_bytes_ += elements.size();
    sink_.Take(elements, out_);
    return {};
  }

  const ZarrCodecs& codecs_;
  const uint64_t payload_bytes_;
  const uint64_t element_bytes_;
  RunSink sink_;
  const std::span<std::byte> out_;
  std::span<std::byte> buffer_;
  std::optional<Decompressor> decompressor_;
  bool is_over_ = false;
  uint64_t taken_bytes_ = 0;
  uint64_t given_bytes_ = 0;
  Crc32c crc_;
  std::array<std::byte, kChunkCrcBytes> trailer_{};
  size_t trailer_bytes_ = 0;
};

}  // namespace

Result<uint64_t> ReadRuns(const OpenObject& open, std::span<std::byte> window, uint32_t object,
                          uint64_t offset, const BoxRuns& runs, std::span<std::byte> out) {
  const uint64_t most_bytes =
      std::min(kMergeMostBytes, window.size() / kReadsAtOnce - 2 * kIoAlignment);
  ReadBatch batch(open, window);
  RunSegments segments(runs, most_bytes);
  std::vector<RunSegment> pending;
  const auto flush = [&] {
    auto done = batch.Run([&](uint64_t tag, std::span<const std::byte> bytes) -> Result<void> {
      pending[tag].Copy(bytes, out);
      return {};
    });
    pending.clear();
    return done;
  };
  while (auto segment = segments.Next()) {
    const ByteRange range{offset + segment->range.begin, offset + segment->range.end};
    if (!batch.Add(object, range, pending.size())) {
      CKPT_TRY_VOID(flush());
      CKPT_CHECK(batch.Add(object, range, 0));
    }
    pending.push_back(*std::move(segment));
  }
  CKPT_TRY_VOID(flush());
  return batch.requested_bytes();
}

Result<uint64_t> StreamChunk(const OpenObject& open, std::span<std::byte> window,
                             const ChunkedTensor& tensor, const ZarrCodecs& codecs,
                             const StoredChunk& place, uint64_t element_bytes, const BoxRuns& runs,
                             std::span<std::byte> out) {
  Unpacker unpacker(codecs, place.length, element_bytes, runs, out);
  const uint64_t half = RoundDown(window.size() / 2, kIoAlignment);
  CKPT_TRY_VOID(unpacker.Open(window.first(half)));
  if (place.object == kInlineChunk) {
    CKPT_TRY_VOID(unpacker.Take(
        std::as_bytes(std::span(tensor.inline_bytes)).subspan(place.offset, place.length)));
    CKPT_TRY_VOID(unpacker.Finish());
    return uint64_t{0};
  }
  ReadBatch batch(open, window.subspan(half));
  const uint64_t step =
      std::min(kMergeMostBytes, RoundDown(window.size() - half, kIoAlignment) - 2 * kIoAlignment);
  for (uint64_t at = 0; at < place.length; at += step) {
    const uint64_t count = std::min(step, place.length - at);
    const ByteRange range{place.offset + at, place.offset + at + count};
    CKPT_CHECK(batch.Add(place.object, range, 0));
    CKPT_TRY_VOID(batch.Run(
        [&](uint64_t, std::span<const std::byte> bytes) { return unpacker.Take(bytes); }));
  }
  CKPT_TRY_VOID(unpacker.Finish());
  return batch.requested_bytes();
}

}  // namespace ckpt
