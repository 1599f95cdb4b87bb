#include "format/zarr/fill.h"

#include <fmt/format.h>

#include <bit>
#include <charconv>
#include <limits>
#include <optional>

#include "base/endian.h"
#include "base/float.h"

namespace ckpt::zarr {
namespace {

constexpr uint32_t kByteBits = 8;
constexpr uint32_t kHexBase = 16;

tl::unexpected<Error> Refuse(DType dtype) {
  return Fail(Code::kBadInput, fmt::format("a fill value that {} cannot hold", Name(dtype)),
              "the array's metadata is damaged, or of a form that this program does not read");
}

// "0x7fc0": the element's bits as one number.
std::optional<uint64_t> HexBits(std::string_view text, uint32_t size) {
  if (!text.starts_with("0x") || text.size() != 2 + size_t{2} * size) return std::nullopt;
  text.remove_prefix(2);
  uint64_t bits = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), bits, kHexBase);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return bits;
}

std::optional<double> Number(const JsonValue& value) {
  switch (value.kind) {
    case json::Kind::kUnsigned:
      return static_cast<double>(value.unsigned_value);
    case json::Kind::kNegative:
      return static_cast<double>(value.negative_value);
    case json::Kind::kFloat:
      return value.float_value;
    case json::Kind::kString:
      if (value.text == "NaN") return std::numeric_limits<double>::quiet_NaN();
      if (value.text == "Infinity") return std::numeric_limits<double>::infinity();
      if (value.text == "-Infinity") return -std::numeric_limits<double>::infinity();
      return std::nullopt;
    default:
      return std::nullopt;
  }
}

// The bits of a float type; nothing for the rare kinds without arithmetic here, but for zero.
std::optional<uint64_t> FloatBits(DType dtype, double x) {
  const auto narrow = static_cast<float>(x);
  switch (dtype) {
    case DType::kF64:
      return std::bit_cast<uint64_t>(x);
    case DType::kF32:
    case DType::kC64:
      return std::bit_cast<uint32_t>(narrow);
    case DType::kF16:
      return F32ToF16(narrow);
    case DType::kBF16:
      return ToBF16(narrow).bits;
    case DType::kF8E4M3:
      return F32ToF8E4M3(narrow);
    case DType::kF8E5M2:
      return F32ToF8E5M2(narrow);
    default:
      return x == 0 ? std::optional<uint64_t>(0) : std::nullopt;
  }
}

// The range of an integer type as [-least, most].
struct IntegerRange {
  uint64_t least = 0;
  uint64_t most = 0;
};
IntegerRange RangeOf(DType dtype) {
  const bool is_unsigned =
      dtype == DType::kU8 || dtype == DType::kU16 || dtype == DType::kU32 || dtype == DType::kU64;
  uint32_t bits = kByteBits * ElementBytes(dtype);
  if (dtype == DType::kI4) bits = 4;
  if (dtype == DType::kI2) bits = 2;
  const uint64_t half = 1ULL << (bits - 1U);
  if (!is_unsigned) return {half, half - 1};
  return {0, half - 1 + half};
}

std::optional<uint64_t> IntegerBits(DType dtype, const JsonValue& value) {
  const IntegerRange range = RangeOf(dtype);
  if (value.kind == json::Kind::kUnsigned && value.unsigned_value <= range.most)
    return value.unsigned_value;
  if (value.kind == json::Kind::kNegative) {
    const auto bits = static_cast<uint64_t>(value.negative_value);
    if (0 - bits <= range.least) return bits;
  }
  if (value.kind == json::Kind::kFloat && value.float_value == 0) return 0;
  return std::nullopt;
}

std::optional<uint64_t> ElementBits(DType dtype, const JsonValue& value, uint32_t size) {
  if (value.is_string()) {
    if (const auto bits = HexBits(value.text, size)) return bits;
  }
  if (dtype == DType::kBool) {
    if (value.kind == json::Kind::kBool) return value.is_true ? 1 : 0;
    if (value.kind == json::Kind::kUnsigned && value.unsigned_value <= 1)
      return value.unsigned_value;
    return std::nullopt;
  }
  if (!Info(dtype).is_float && dtype != DType::kC64) return IntegerBits(dtype, value);
  const auto number = Number(value);
  return number ? FloatBits(dtype, *number) : std::nullopt;
}

}  // namespace

Result<std::string> ParseFill(DType dtype, const JsonValue& value) {
  const uint32_t size = ElementBytes(dtype);
  if (value.is_null()) return std::string(size, '\0');
  std::string bytes;
  if (dtype != DType::kC64) {
    const auto bits = ElementBits(dtype, value, size);
    if (!bits) return Refuse(dtype);
    AppendLittleEndian(bytes, *bits, size);
    return bytes;
  }
  if (!value.is_array() || value.members.size() != 2) {
    if (Number(value) == 0.0) return std::string(size, '\0');
    return Refuse(dtype);
  }
  for (const JsonValue& part : value.members) {
    const auto bits = ElementBits(dtype, part, size / 2);
    if (!bits) return Refuse(dtype);
    AppendLittleEndian(bytes, *bits, size / 2);
  }
  return bytes;
}

}  // namespace ckpt::zarr
