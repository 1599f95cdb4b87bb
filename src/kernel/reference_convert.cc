#include <array>

#include "base/float.h"
#include "kernel/reference.h"
#include "kernel/reference_blocks.h"
#include "kernel/unaligned.h"

namespace ckpt::reference {
namespace {

struct ToFloat {
  static constexpr size_t kBytes = 4;
  static void Store(float x, std::byte* dst) { StoreUnaligned(x, dst); }
};
struct ToBrain {
  static constexpr size_t kBytes = 2;
  static void Store(float x, std::byte* dst) { StoreUnaligned(ToBF16(x), dst); }
};

// A source of plain elements: how one becomes a float32.
struct FromF64 {
  static constexpr size_t kBytes = 8;
  static float Load(const std::byte* p) { return static_cast<float>(LoadUnaligned<double>(p)); }
};
struct FromF32 {
  static constexpr size_t kBytes = 4;
  static float Load(const std::byte* p) { return LoadUnaligned<float>(p); }
};
struct FromF16 {
  static constexpr size_t kBytes = 2;
  static float Load(const std::byte* p) { return F16ToF32(LoadUnaligned<uint16_t>(p)); }
};
struct FromBF16 {
  static constexpr size_t kBytes = 2;
  static float Load(const std::byte* p) { return ToF32(LoadUnaligned<BF16>(p)); }
};
struct FromE4M3 {
  static constexpr size_t kBytes = 1;
  static float Load(const std::byte* p) { return F8E4M3ToF32(LoadUnaligned<uint8_t>(p)); }
};
struct FromE5M2 {
  static constexpr size_t kBytes = 1;
  static float Load(const std::byte* p) { return F8E5M2ToF32(LoadUnaligned<uint8_t>(p)); }
};

template <class From, class To>
void ConvertElements(const std::byte* src, std::byte* dst, size_t n) {
  for (size_t i = 0; i < n; ++i)
    To::Store(From::Load(src + i * From::kBytes), dst + i * To::kBytes);
}

template <class From, class To>
void ConvertBlocks(const std::byte* src, std::byte* dst, size_t n) {
  std::array<float, From::kElements> values{};
  for (size_t first = 0; first < n; first += From::kElements, src += From::kBytes) {
    From::Decode(src, values.data());
    for (size_t i = 0; i < From::kElements; ++i)
      To::Store(values[i], dst + (first + i) * To::kBytes);
  }
}

template <class To>
ConvertFn FindTo(DType from) {
  switch (from) {
    case DType::kF64:
      return ConvertElements<FromF64, To>;
    case DType::kF32:
      return ConvertElements<FromF32, To>;
    case DType::kF16:
      return ConvertElements<FromF16, To>;
    case DType::kBF16:
      return ConvertElements<FromBF16, To>;
    case DType::kF8E4M3:
      return ConvertElements<FromE4M3, To>;
    case DType::kF8E5M2:
      return ConvertElements<FromE5M2, To>;
    case DType::kQ8_0:
      return ConvertBlocks<FromQ80, To>;
    case DType::kQ4_0:
      return ConvertBlocks<FromQ40, To>;
    case DType::kQ4_1:
      return ConvertBlocks<FromQ41, To>;
    case DType::kQ5_0:
      return ConvertBlocks<FromQ50, To>;
    case DType::kQ5_1:
      return ConvertBlocks<FromQ51, To>;
    case DType::kIQ4_NL:
      return ConvertBlocks<FromIQ4NL, To>;
    case DType::kQ2_K:
      return ConvertBlocks<FromQ2K, To>;
    case DType::kQ3_K:
      return ConvertBlocks<FromQ3K, To>;
    case DType::kQ4_K:
      return ConvertBlocks<FromQ4K, To>;
    case DType::kQ5_K:
      return ConvertBlocks<FromQ5K, To>;
    case DType::kQ6_K:
      return ConvertBlocks<FromQ6K, To>;
    case DType::kIQ4_XS:
      return ConvertBlocks<FromIQ4XS, To>;
    default:
      return nullptr;
  }
}

}  // namespace

ConvertFn FindConvert(DType from, DType to) {
  if (to == DType::kBF16) return FindTo<ToBrain>(from);
  if (to == DType::kF32) return FindTo<ToFloat>(from);
  return nullptr;
}

}  // namespace ckpt::reference
