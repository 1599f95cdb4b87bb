#include "format/ocdbt/envelope.h"

#include <fmt/format.h>

#include <span>
#include <utility>

#include "base/crc32c.h"
#include "base/endian.h"
#include "format/compress/compress.h"

namespace ckpt::ocdbt {
namespace {

constexpr size_t kMagicBytes = 4;
constexpr size_t kLengthBytes = 8;
constexpr size_t kCrcBytes = 4;
constexpr size_t kLeastBytes = 16;
constexpr uint64_t kVersion = 0;
constexpr uint64_t kRaw = 0;
constexpr uint64_t kZstd = 1;
constexpr uint32_t kNumberBits = 32;

// What tells the kinds apart in messages.
std::string_view MagicName(uint32_t magic) {
  return magic == kManifestMagic ? "an OCDBT manifest" : "a node of an OCDBT tree";
}

std::string MagicBytes(uint32_t magic) {
  std::string text;
  AppendBigEndian(text, magic, kMagicBytes);
  return text;
}

uint32_t CrcOf(std::string_view bytes) {
  return Crc32c::Of(std::as_bytes(std::span(bytes))).value();
}

std::string Hex(std::string_view bytes) {
  std::string text;
  for (const char c : bytes) text += fmt::format("{:02x}", static_cast<unsigned char>(c));
  return text;
}

tl::unexpected<Error> Damaged(uint64_t byte, std::string what) {
  return Fail(Error{Code::kBadInput,
                    std::move(what),
                    {},
                    {{"byte", std::to_string(byte)}},
                    "the checkpoint is damaged: fetch this file again"});
}

tl::unexpected<Error> TooNew(std::string what) {
  return Fail(Error{Code::kBadInput,
                    std::move(what),
                    {},
                    {{"byte", std::to_string(kMagicBytes + kLengthBytes)}},
                    "the checkpoint is newer than this program, or damaged: update ckpt, or save "
                    "the checkpoint with default settings"});
}

Result<void> CheckFrame(uint32_t magic, std::string_view bytes) {
  if (bytes.size() < kLeastBytes)
    return Damaged(0, fmt::format("truncated: {} of {} bytes, the least are {}", MagicName(magic),
                                  bytes.size(), kLeastBytes));
  if (!bytes.starts_with(MagicBytes(magic)))
    return Damaged(0, fmt::format("not {}: it begins with {}, not with {:08x}", MagicName(magic),
                                  Hex(bytes.substr(0, kMagicBytes)), magic));
  ByteReader header(bytes, 0, false);
  CKPT_TRY_VOID(header.Take(kMagicBytes));
  CKPT_TRY(const uint64_t length, header.U64());
  if (length != bytes.size())
    return Damaged(kMagicBytes, fmt::format("{} says that it has {} bytes, there are {}",
                                            MagicName(magic), length, bytes.size()));
  ByteReader tail(bytes.substr(bytes.size() - kCrcBytes), 0, false);
  CKPT_TRY(const uint32_t crc, tail.U32());
  if (crc != CrcOf(bytes.substr(0, bytes.size() - kCrcBytes)))
    return Damaged(bytes.size() - kCrcBytes,
                   fmt::format("the checksum (CRC-32C) of {} is wrong", MagicName(magic)));
  return {};
}

}  // namespace

Result<Body> Unseal(uint32_t magic, std::string_view bytes, uint64_t most_decoded_bytes,
                    Code over_limit) {
  CKPT_TRY_VOID(CheckFrame(magic, bytes));
  ByteReader in(bytes.substr(0, bytes.size() - kCrcBytes), 0, false);
  CKPT_TRY_VOID(in.Take(kMagicBytes + kLengthBytes));
  CKPT_TRY(const uint64_t version, in.Varint(kNumberBits));
  if (version != kVersion) return TooNew(fmt::format("format version {} is unknown", version));
  CKPT_TRY(const uint64_t compression, in.Varint(kNumberBits));
  Body body;
  body.first_byte = bytes.size() - kCrcBytes - in.bytes_left();
  CKPT_TRY(body.stored, in.Take(in.bytes_left()));
  if (compression == kRaw) return body;
  if (compression != kZstd)
    return TooNew(fmt::format("compression method {} is unknown", compression));
  CKPT_TRY(body.decoded, DecompressZstd(body.stored, most_decoded_bytes, over_limit)
                             .map_error(Where("byte", std::to_string(body.first_byte))));
  body.is_decoded = true;
  return body;
}

std::string Seal(uint32_t magic, std::string_view body) {
  std::string out = MagicBytes(magic);
  AppendLittleEndian(out, kLengthBytes + kMagicBytes + 2 + body.size() + kCrcBytes, kLengthBytes);
  AppendVarint(out, kVersion);
  AppendVarint(out, kRaw);
  out += body;
  AppendLittleEndian(out, CrcOf(out), kCrcBytes);
  return out;
}

}  // namespace ckpt::ocdbt
