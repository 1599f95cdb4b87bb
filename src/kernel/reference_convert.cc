#include <array>

#include "base/float.h"
#include "kernel/reference.h"
#include "kernel/unaligned.h"

namespace ckpt::reference {
namespace {

// Block layouts and formulas: ggml-org/ggml, ggml-quants.c `dequantize_row_*`. All in float32, each
// operation rounded by itself (the build sets -ffp-contract=off).
constexpr size_t kSmallBlock = 32;
constexpr size_t kBigBlock = 256;

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

float Half(const std::byte* p) { return F16ToF32(LoadUnaligned<uint16_t>(p)); }
int Low(std::byte b) { return std::to_integer<int>(b & std::byte{15}); }
int High(std::byte b) { return std::to_integer<int>(b >> 4); }

// A source of blocks: how one becomes float32 values.
struct FromQ80 {
  static constexpr size_t kElements = kSmallBlock, kBytes = 34;
  static void Decode(const std::byte* block, float* out) {
    const float d = Half(block);
    for (size_t i = 0; i < kElements; ++i)
      out[i] = d * static_cast<float>(LoadUnaligned<int8_t>(block + 2 + i));
  }
};
struct FromQ40 {
  static constexpr size_t kElements = kSmallBlock, kBytes = 18;
  static void Decode(const std::byte* block, float* out) {
    const float d = Half(block);
    for (size_t i = 0; i < kElements / 2; ++i) {
      out[i] = d * static_cast<float>(Low(block[2 + i]) - 8);
      out[i + kElements / 2] = d * static_cast<float>(High(block[2 + i]) - 8);
    }
  }
};
struct FromQ41 {
  static constexpr size_t kElements = kSmallBlock, kBytes = 20;
  static void Decode(const std::byte* block, float* out) {
    const float d = Half(block);
    const float m = Half(block + 2);
    for (size_t i = 0; i < kElements / 2; ++i) {
      out[i] = d * static_cast<float>(Low(block[4 + i])) + m;
      out[i + kElements / 2] = d * static_cast<float>(High(block[4 + i])) + m;
    }
  }
};
struct FromQ6K {
  static constexpr size_t kElements = kBigBlock, kBytes = 210;
  // Bytes: ql[128], qh[64], int8 scales[16], d. Each half of the block has 64 bytes of ql and 32 of
  // qh.
  static void Decode(const std::byte* block, float* out) {
    const float d = Half(block + 208);
    for (size_t e = 0; e < kElements; ++e) {
      const size_t half = e / 128;
      const size_t quarter = e % 128 / 32;
      const size_t l = e % 32;
      const std::byte low = block[64 * half + 32 * (quarter % 2) + l];
      const int high =
          std::to_integer<int>(block[128 + 32 * half + l] >> (2 * quarter) & std::byte{3});
      const int q = ((quarter < 2 ? Low(low) : High(low)) | high << 4) - 32;
      const float scale = d * static_cast<float>(LoadUnaligned<int8_t>(block + 192 + e / 16));
      out[e] = scale * static_cast<float>(q);
    }
  }
};

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
    case DType::kQ6_K:
      return ConvertBlocks<FromQ6K, To>;
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
