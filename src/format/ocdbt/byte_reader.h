#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

/// Parts that manifest and nodes share. For format/ocdbt only.
namespace ckpt::ocdbt {

/// Walks over the body of a manifest or node, a cheap value: a copy marks a column. Every take is
/// held against the bytes left. Errors: kBadInput with the byte, counted in the file's structure
/// (`first_byte`) or, for a compressed body, in what it decodes to.
class ByteReader {
 public:
  ByteReader() = default;
  ByteReader(std::string_view bytes, uint64_t first_byte, bool is_decoded)
      : bytes_(bytes), first_byte_(first_byte), is_decoded_(is_decoded) {}

  uint64_t bytes_left() const { return bytes_.size() - position_; }

  Result<uint8_t> U8();
  /// Little endian.
  Result<uint32_t> U32();
  Result<uint64_t> U64();
  /// Unsigned LEB128 that fits in `bits`.
  Result<uint64_t> Varint(uint32_t bits = 64);
  Result<std::string_view> Take(uint64_t count);
  /// Checks `count` varints and steps over them; a copy made before reads them without failing.
  Result<void> SkipVarints(uint64_t count, uint32_t bits = 64);
  /// `count` things of at least `least_bytes` each can follow. Before anything is allocated.
  Result<void> CheckCount(std::string_view what, uint64_t count, uint64_t least_bytes) const;
  /// All bytes are used.
  Result<void> CheckEnd() const;

  /// An error at the present position.
  tl::unexpected<Error> Damaged(std::string what) const;

 private:
  std::string_view bytes_;
  uint64_t first_byte_ = 0;
  bool is_decoded_ = false;
  uint64_t position_ = 0;
};

/// The encoders' side.
void AppendVarint(std::string& out, uint64_t value);

}  // namespace ckpt::ocdbt
