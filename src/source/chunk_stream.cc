#include "source/chunk_stream.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/checked.h"
#include "source/run_segments.h"

namespace ckpt {
namespace {

// Reads under way at once where a source is read in parts.
constexpr uint64_t kReadsAtOnce = 4;
constexpr int kLeastWindowLog = 23;  // what zstd's ordinary levels use at most

// Of a window: one half is decoded into, the other is read into.
uint64_t HalfOf(uint64_t window_bytes) { return RoundDown(window_bytes / 2, kIoAlignment); }

Result<void> Refuse(std::string what) {
  return Fail(Code::kBadInput, std::move(what), "the checkpoint is damaged: fetch it again");
}

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

struct ChunkStream::Turn {
  RunSink sink;
  const std::span<std::byte> out;
  const std::span<std::byte> buffer;  // what a compressed chunk is decoded into, in pieces
  const uint64_t end;                 // of the elements that are wanted
  const bool to_end;
};

ChunkStream::ChunkStream(std::shared_ptr<const ChunkedTensor> tensor, const StoredChunk& place,
                         uint64_t element_bytes)
    : tensor_(std::move(tensor)),
      place_(place),
      payload_bytes_(place.length -
                     std::min(place.length, codecs().has_crc32c ? kChunkCrcBytes : 0)),
      element_bytes_(element_bytes) {}

Result<ChunkStream> ChunkStream::Open(std::shared_ptr<const ChunkedTensor> tensor,
                                      const StoredChunk& place, uint64_t element_bytes,
                                      uint64_t window_bytes) {
  ChunkStream stream(std::move(tensor), place, element_bytes);
  const Compression compression = stream.codecs().compression;
  if (compression == Compression::kNone) return stream;
  const int window_log = std::clamp(static_cast<int>(std::bit_width(HalfOf(window_bytes))) - 1,
                                    kLeastWindowLog, kMaxWindowLog);
  CKPT_TRY(stream.decompressor_, Decompressor::Make(compression, window_log));
  return stream;
}

bool ChunkStream::IsBefore(const ChunkedTensor& tensor, const StoredChunk& place,
                           const BoxRuns& runs) const {
  return tensor_.get() == &tensor && place_ == place && given_bytes_ <= runs.reach().begin;
}

Result<void> ChunkStream::Read(const OpenObject& open, std::span<std::byte> window,
                               const BoxRuns& runs, bool to_end, std::span<std::byte> out) {
  CKPT_CHECK(given_bytes_ <= runs.reach().begin && (to_end || decompressor_));
  const uint64_t half = HalfOf(window.size());
  Turn turn{RunSink(runs, given_bytes_), out, window.first(half),
            to_end ? element_bytes_ : runs.reach().end, to_end};
  CKPT_TRY_VOID(Take({}, turn));  // what the library holds back of the turn before
  if (place_.object == kInlineChunk) {
    const auto stored = std::as_bytes(std::span(tensor_->inline_bytes));
    const uint64_t left = place_.length - taken_bytes_;
    CKPT_TRY_VOID(Take(stored.subspan(place_.offset + taken_bytes_, left), turn));
  }
  ReadBatch batch(open, window.subspan(half));
  const uint64_t most_bytes =
      std::min(kMergeMostBytes, RoundDown(window.size() - half, kIoAlignment) - 2 * kIoAlignment);
  while (const uint64_t count = NextBytes(turn, most_bytes)) {
    const uint64_t begin = place_.offset + taken_bytes_;
    const uint64_t before = batch.requested_bytes();
    CKPT_CHECK(batch.Add(place_.object, {begin, begin + count}, 0));
    auto taken =
        batch.Run([&](uint64_t, std::span<const std::byte> bytes) { return Take(bytes, turn); });
    requested_bytes_ += batch.requested_bytes() - before;
    CKPT_TRY_VOID(taken);
  }
  return IsOver(turn) && !to_end ? Result<void>() : CheckEnd();
}

// Whether the box has all that it wants of the chunk.
bool ChunkStream::IsOver(const Turn& turn) const {
  return turn.to_end ? taken_bytes_ == place_.length : given_bytes_ == turn.end;
}

// How many stored bytes are fetched next: 0 if no more are needed, or there.
uint64_t ChunkStream::NextBytes(const Turn& turn, uint64_t most_bytes) const {
  if (IsOver(turn)) return 0;
  if (turn.to_end) return std::min(most_bytes, place_.length - taken_bytes_);
  // What so many elements take on average, and a little more: that costs less than to ask once
  // more. All that is fetched and not decoded is fetched for the next box again.
  const double share = static_cast<double>(place_.length) / static_cast<double>(element_bytes_);
  const double wanted = static_cast<double>(turn.end - given_bytes_) * share + kMergeGapBytes;
  const uint64_t bytes =
      wanted < static_cast<double>(most_bytes) ? static_cast<uint64_t>(wanted) : most_bytes;
  return std::min(bytes, payload_bytes_ - taken_bytes_);
}

// The next stored bytes: all of them, or as many as the turn needs.
Result<void> ChunkStream::Take(std::span<const std::byte> stored, Turn& turn) {
  const uint64_t payload =
      std::min<uint64_t>(stored.size(), payload_bytes_ - std::min(payload_bytes_, taken_bytes_));
  std::span<const std::byte> rest = stored.first(payload);
  CKPT_TRY_VOID(Unpack(rest, turn));
  if (!rest.empty() && !IsOver(turn))
    return Refuse(fmt::format("{} bytes follow the compressed data", rest.size()));
  const uint64_t used = payload - rest.size();
  if (codecs().has_crc32c) crc_.Append(stored.first(used));
  taken_bytes_ += used;
  if (!turn.to_end) return {};
  for (const std::byte byte : stored.subspan(payload)) trailer_[trailer_bytes_++] = byte;
  taken_bytes_ += stored.size() - payload;
  return {};
}

// Drops from `stored` what was used.
Result<void> ChunkStream::Unpack(std::span<const std::byte>& stored, Turn& turn) {
  if (!decompressor_) return Give(std::exchange(stored, {}), turn);
  while (!is_decoded_) {
    std::span<std::byte> room = turn.buffer;
    // No more than is wanted, so that the next box may begin there: the library keeps the rest.
    if (!turn.to_end) room = room.first(std::min(room.size(), turn.end - given_bytes_));
    if (room.empty()) return {};
    const size_t stored_before = stored.size();
    const size_t room_before = room.size();
    CKPT_TRY(is_decoded_, decompressor_->Step(stored, room));
    const size_t made = room_before - room.size();
    CKPT_TRY_VOID(Give(turn.buffer.first(made), turn));
    if (made == 0 && stored.size() == stored_before) return {};
  }
  return {};
}

Result<void> ChunkStream::Give(std::span<const std::byte> elements, Turn& turn) {
  if (elements.size() > element_bytes_ - given_bytes_)
    return Refuse(fmt::format("a chunk decodes to more than {} bytes", element_bytes_));
  given_bytes_ += elements.size();
  turn.sink.Take(elements, turn.out);
  return {};
}

// All stored bytes have passed.
Result<void> ChunkStream::CheckEnd() const {
  if (decompressor_ && !is_decoded_) return Refuse("truncated: the compressed chunk has no end");
  if (given_bytes_ != element_bytes_)
    return Refuse(
        fmt::format("a chunk decodes to {} bytes, not to {}", given_bytes_, element_bytes_));
  if (!codecs().has_crc32c) return {};
  if (trailer_bytes_ != trailer_.size()) return Refuse("truncated: a chunk without its checksum");
  return CheckCrcValue(crc_, trailer_);
}

}  // namespace ckpt
