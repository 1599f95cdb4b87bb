#include "format/ocdbt/byte_reader.h"

#include <fmt/format.h>

#include <span>
#include <utility>

#include "base/endian.h"

namespace ckpt::ocdbt {
namespace {

constexpr uint32_t kPayloadBits = 7;  // of one byte of a varint
constexpr uint8_t kMoreFollows = 0x80;
constexpr uint32_t kWordBits = 64;

template <class Number>
Number LittleEndian(std::string_view bytes) {
  return static_cast<Number>(FromLittleEndian(std::as_bytes(std::span(bytes))));
}

}  // namespace

tl::unexpected<Error> ByteReader::Damaged(std::string what) const {
  const std::string at = is_decoded_ ? fmt::format("{} of the decompressed body", position_)
                                     : std::to_string(first_byte_ + position_);
  return Fail(Error{Code::kBadInput,
                    std::move(what),
                    {},
                    {{"byte", at}},
                    "the checkpoint is damaged: fetch this file again"});
}

Result<std::string_view> ByteReader::Take(uint64_t count) {
  if (count > bytes_left())
    return Damaged(
        fmt::format("truncated: {} bytes are needed here, {} are left", count, bytes_left()));
  const std::string_view taken = bytes_.substr(position_, count);
  position_ += count;
  return taken;
}

Result<uint8_t> ByteReader::U8() {
  return Take(1).map([](std::string_view bytes) { return static_cast<uint8_t>(bytes[0]); });
}
Result<uint32_t> ByteReader::U32() { return Take(sizeof(uint32_t)).map(LittleEndian<uint32_t>); }
Result<uint64_t> ByteReader::U64() { return Take(sizeof(uint64_t)).map(LittleEndian<uint64_t>); }

Result<uint64_t> ByteReader::Varint(uint32_t bits) {
  uint64_t value = 0;
  for (uint32_t shift = 0;; shift += kPayloadBits) {
    if (bytes_left() == 0) return Damaged("truncated inside a number");
    const auto byte = static_cast<uint8_t>(bytes_[position_]);
    const uint64_t payload = byte & (kMoreFollows - 1U);
    if (shift >= bits || (shift + kPayloadBits > kWordBits && payload > 1) ||
        ((payload << shift) >> (bits - 1U)) > 1U)
      return Damaged(fmt::format("a number of more than {} bits", bits));
    ++position_;
    value |= payload << shift;
    if ((byte & kMoreFollows) == 0) return value;
  }
}

Result<void> ByteReader::SkipVarints(uint64_t count, uint32_t bits) {
  CKPT_TRY_VOID(CheckCount("numbers", count, 1));
  for (uint64_t i = 0; i < count; ++i) CKPT_TRY_VOID(Varint(bits));
  return {};
}

Result<void> ByteReader::CheckCount(std::string_view what, uint64_t count,
                                    uint64_t least_bytes) const {
  if (count <= bytes_left() / least_bytes) return {};
  return Damaged(
      fmt::format("{} {} cannot fit in the {} bytes that follow", count, what, bytes_left()));
}

Result<void> ByteReader::CheckEnd() const {
  if (bytes_left() == 0) return {};
  return Damaged(fmt::format("{} bytes follow the end of the structure", bytes_left()));
}

void AppendVarint(std::string& out, uint64_t value) {
  for (; value >= kMoreFollows; value >>= kPayloadBits)
    out += static_cast<char>(static_cast<unsigned char>(value | kMoreFollows));
  out += static_cast<char>(static_cast<unsigned char>(value));
}

}  // namespace ckpt::ocdbt
