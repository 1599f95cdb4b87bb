#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tests/unit/format/hex.h"

namespace ckpt {

inline constexpr std::string_view kManifestMagicHex = "0cdb3a2a";
inline constexpr std::string_view kNodeMagicHex = "0cdb20de";

/// Wraps a body as OCDBT does, written here once more so that tests can damage each part of it.
inline std::string SealBody(std::string_view magic_hex, std::string_view body,
                            std::string_view version_and_compression = std::string_view("\0\0",
                                                                                        2)) {
  std::string out = FromHex(magic_hex);
  const uint64_t length = 4 + 8 + version_and_compression.size() + body.size() + 4;
  for (uint32_t i = 0; i < 8; ++i)
    out += static_cast<char>(static_cast<unsigned char>(length >> (8U * i)));
  out += version_and_compression;
  out += body;
  return WithCrc(std::move(out));
}

/// The body of an uncompressed structure.
inline std::string BodyOf(std::string_view sealed) {
  return std::string(sealed.substr(14, sealed.size() - 18));
}

/// One zstd frame that stores `text` as it is, made by hand: one raw block, no checksum.
inline std::string StoredFrame(std::string_view text) {
  std::string frame = FromHex("28b52ffd 60");  // single segment, 2 bytes of size + 256
  const auto size = static_cast<uint32_t>(text.size() - 256);
  frame += static_cast<char>(static_cast<unsigned char>(size));
  frame += static_cast<char>(static_cast<unsigned char>(size >> 8U));
  const auto block = static_cast<uint32_t>(text.size() << 3U | 1U);  // last block, raw
  for (uint32_t i = 0; i < 3; ++i)
    frame += static_cast<char>(static_cast<unsigned char>(block >> (8U * i)));
  return frame + std::string(text);
}

}  // namespace ckpt
