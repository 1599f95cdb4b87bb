#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "format/ocdbt/byte_reader.h"

/// What manifest and nodes are wrapped in: magic, length, version, compression, body, CRC-32C
/// (docs/formats/ocdbt.md). For format/ocdbt only.
/// Origin: google/tensorstore, tensorstore/kvstore/ocdbt/format/codec_util.h.
namespace ckpt::ocdbt {

/// Big endian in the file.
inline constexpr uint32_t kManifestMagic = 0x0cdb3a2a;
inline constexpr uint32_t kNodeMagic = 0x0cdb20de;

/// A body inside its envelope, or decompressed out of it.
struct Body {
  std::string decoded;      ///< owns the bytes of a compressed body
  std::string_view stored;  ///< the bytes of an uncompressed one
  uint64_t first_byte = 0;  ///< where the body begins in the envelope
  bool is_decoded = false;
  /// Lives as long as this and the envelope's bytes.
  ByteReader reader() const { return {is_decoded ? decoded : stored, first_byte, is_decoded}; }
};

/// `bytes` is exactly one structure. Errors: kBadInput with the byte: shorter than an envelope,
/// magic, length, checksum, version, compression, damaged compressed body; `over_limit` (see
/// DecompressZstd) for one of more than `most_decoded_bytes`.
Result<Body> Unseal(uint32_t magic, std::string_view bytes, uint64_t most_decoded_bytes,
                    Code over_limit = Code::kBadInput);

/// Uncompressed.
std::string Seal(uint32_t magic, std::string_view body);

}  // namespace ckpt::ocdbt
