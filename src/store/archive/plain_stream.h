#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "base/result.h"
#include "store/archive/sequential_reader.h"

namespace ckpt {

/// The bytes of a tar archive that was packed by gzip (one or several members of it, zero bytes
/// after them) or not at all: the first two bytes tell. Not thread-safe. The reader must outlive
/// it.
///
/// zlib itself instead of libarchive's filter: it holds the bytes to the CRC-32 and length at the
/// end of each gzip member, which libarchive 3.6 does not, and here a limit of the output stands
/// before the tar reader sees a byte.
class PlainStream {
 public:
  /// `most_bytes`: what may come out.
  static Result<std::unique_ptr<PlainStream>> Open(SequentialReader& packed, uint64_t most_bytes);
  PlainStream(const PlainStream&) = delete;
  PlainStream& operator=(const PlainStream&) = delete;
  ~PlainStream();

  /// Fills `into` from the front; less only at the end, 0 after it. Errors: those of the object;
  /// kBadInput for what is no gzip, damaged or cut off, and for more than `most_bytes`.
  Result<size_t> Read(std::span<std::byte> into);
  /// The byte of the object that was reached.
  uint64_t packed_position() const;

 private:
  struct Inflater;  // hides zlib

  PlainStream(SequentialReader& packed, uint64_t most_bytes);
  Result<void> Refill();
  Result<size_t> Copy(std::span<std::byte> into);
  Result<size_t> Inflate(std::span<std::byte> into);
  Result<bool> BeginMember();

  SequentialReader& packed_;
  const uint64_t most_bytes_;
  std::unique_ptr<Inflater> inflater_;  // null: the bytes are as they are
  std::span<const std::byte> input_;    // not used yet
  bool is_at_end_ = false;              // of the object
  uint64_t plain_bytes_ = 0;
};

}  // namespace ckpt
