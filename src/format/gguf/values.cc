#include "format/gguf/values.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <utility>

#include "base/text.h"

namespace ckpt::gguf {
namespace {

// As in the file.
enum ValueType : uint32_t {
  kU8,
  kI8,
  kU16,
  kI16,
  kU32,
  kI32,
  kF32,
  kBool,
  kString,
  kArray,
  kU64,
  kI64,
  kF64,
  kValueTypes
};
// The smallest that one value can be in the file: a string is a length, an array a type and a
// length.
constexpr std::array<uint64_t, kValueTypes> kMinBytes = {1, 1, 2, 2, 4, 4, 4, 1, 8, 12, 8, 8, 8};

// Steps over an array, `depth` arrays deep with this one; its length.
Result<uint64_t> SkipArray(WindowReader& in, uint32_t depth) {  // recursion ends at kMaxArrayDepth
  const uint64_t at = in.position();
  if (depth > kMaxArrayDepth)
    return Damaged(at, fmt::format("arrays nested deeper than {}", kMaxArrayDepth));
  CKPT_TRY(const uint32_t type, in.U32());
  CKPT_TRY(const uint64_t length, in.U64());
  if (type >= kValueTypes)
    return Damaged(at, fmt::format("array element type {} is unknown", type));
  if (length > in.bytes_left() / kMinBytes[type])
    return Damaged(at, fmt::format("an array of {} elements cannot fit in the {} bytes that follow",
                                   length, in.bytes_left()));
  if (type != kString && type != kArray) {
    CKPT_TRY_VOID(in.Skip(length * kMinBytes[type]));
    return length;
  }
  for (uint64_t i = 0; i < length; ++i) {
    if (type == kArray) {
      CKPT_TRY_VOID(SkipArray(in, depth + 1));
    } else {
      CKPT_TRY(const uint64_t size, in.U64());
      CKPT_TRY_VOID(in.Skip(size));
    }
  }
  return length;
}

Result<Value> ReadText(WindowReader& in, MemoryLeft& memory) {
  CKPT_TRY(const uint64_t size, in.U64());
  if (size > kMaxKeptTextBytes) {
    CKPT_TRY_VOID(in.Skip(size));
    return Value(Skipped{size});
  }
  CKPT_TRY_VOID(memory.Keep(size));
  CKPT_TRY(std::string text, in.Text(size));
  // Nothing computes with texts that are no UTF-8 (templates with cut characters); they are only
  // shown.
  if (FirstInvalidUtf8(text) != std::string_view::npos) text = Printable(text);
  return Value(std::move(text));
}

Result<Value> ReadBool(WindowReader& in) {
  const uint64_t at = in.position();
  CKPT_TRY(const uint8_t x, in.U8());
  if (x > 1) return Damaged(at, fmt::format("a bool of {}", x));
  return Value(x == 1);
}

template <class Signed, class Unsigned>
Value SignedValue(Unsigned bits) {
  return {static_cast<int64_t>(static_cast<Signed>(bits))};
}

}  // namespace

tl::unexpected<Error> Damaged(uint64_t byte, std::string what, std::string_view remedy) {
  return Fail(Error{
      Code::kBadInput, std::move(what), {}, {{"byte", std::to_string(byte)}}, std::string(remedy)});
}

Result<void> MemoryLeft::Keep(uint64_t bytes) {
  if (bytes > bytes_)
    return Fail(Code::kResources, "the header needs more memory than the budget grants it",
                "give a larger --memory");
  bytes_ -= bytes;
  return {};
}

Result<std::string> ReadName(WindowReader& in, MemoryLeft& memory, std::string_view what) {
  const uint64_t at = in.position();
  CKPT_TRY(const uint64_t size, in.U64());
  if (size > in.bytes_left())
    return Damaged(at,
                   fmt::format("{} of {} bytes, where {} are left", what, size, in.bytes_left()));
  if (size > kMaxNameBytes)
    return Damaged(at, fmt::format("{} of {} bytes, over {}", what, size, kMaxNameBytes));
  CKPT_TRY_VOID(memory.Keep(size));
  CKPT_TRY(std::string name, in.Text(size));
  if (FirstInvalidUtf8(name) != std::string_view::npos)
    return Damaged(at, fmt::format("{} \"{}\" is not UTF-8", what, Excerpt(name)));
  return name;
}

Result<Value> ReadValue(WindowReader& in, MemoryLeft& memory) {
  const uint64_t at = in.position();
  CKPT_TRY(const uint32_t type, in.U32());
  switch (type) {
    case kU8:
      return in.U8().map([](uint8_t x) { return Value(uint64_t{x}); });
    case kU16:
      return in.U16().map([](uint16_t x) { return Value(uint64_t{x}); });
    case kU32:
      return in.U32().map([](uint32_t x) { return Value(uint64_t{x}); });
    case kU64:
      return in.U64().map([](uint64_t x) { return Value(x); });
    case kI8:
      return in.U8().map(SignedValue<int8_t, uint8_t>);
    case kI16:
      return in.U16().map(SignedValue<int16_t, uint16_t>);
    case kI32:
      return in.U32().map(SignedValue<int32_t, uint32_t>);
    case kI64:
      return in.U64().map(SignedValue<int64_t, uint64_t>);
    case kF32:
      return in.U32().map([](uint32_t x) { return Value(double{std::bit_cast<float>(x)}); });
    case kF64:
      return in.U64().map([](uint64_t x) { return Value(std::bit_cast<double>(x)); });
    case kBool:
      return ReadBool(in);
    case kString:
      return ReadText(in, memory);
    case kArray:
      return SkipArray(in, 1).map([](uint64_t length) { return Value(Skipped{length}); });
    default:
      return Damaged(at, fmt::format("value type {} is unknown", type));
  }
}

}  // namespace ckpt::gguf
