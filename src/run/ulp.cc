#include "run/ulp.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>

#include "base/check.h"
#include "base/float.h"
#include "kernel/convert.h"

namespace ckpt {
namespace {

// From the most precise to the coarsest.
constexpr std::array<DType, 6> kUlpTypes = {DType::kF64,  DType::kF32,    DType::kF16,
                                            DType::kBF16, DType::kF8E4M3, DType::kF8E5M2};

// What is compared at once: small enough that most of a nearly equal tensor is skipped.
constexpr size_t kStep = 256;

template <class Bits>
Bits BitsAt(const std::byte* elements, size_t i) {
  Bits bits = 0;
  std::memcpy(&bits, elements + i * sizeof(Bits), sizeof(Bits));
  return bits;
}

// Sign and magnitude as one ascending count: -0 and +0 stand next to each other.
template <class Bits>
Bits OrderOf(Bits bits) {
  constexpr auto sign = static_cast<Bits>(Bits{1} << (8 * sizeof(Bits) - 1));
  return static_cast<Bits>((bits & sign) != 0 ? ~bits : bits | sign);
}

template <class Bits>
uint64_t Distance(Bits a, Bits b) {
  const Bits x = OrderOf(a);
  const Bits y = OrderOf(b);
  return x > y ? x - y : y - x;
}

template <class Bits, class ToDouble>
void Compare(const std::byte* a, const std::byte* b, size_t n, uint64_t first, ToDouble to_double,
             UlpFigures& figures) {
  for (size_t i = 0; i < n; ++i) {
    const Bits x = BitsAt<Bits>(a, i);
    const Bits y = BitsAt<Bits>(b, i);
    if (x == y) continue;
    const double value_a = to_double(x);
    const double value_b = to_double(y);
    const bool is_nan = std::isnan(value_a) || std::isnan(value_b);
    const uint64_t ulps = is_nan ? 0 : Distance(x, y);
    if (figures.different == 0 || ulps > figures.ulps) {
      figures.worst = first + i;
      figures.worst_a = value_a;
      figures.worst_b = value_b;
    }
    ++figures.different;
    if (is_nan) {
      ++figures.nans;
      continue;
    }
    figures.ulps = std::max(figures.ulps, ulps);
    figures.difference = std::max(figures.difference, std::abs(value_a - value_b));
  }
}

void CompareStep(DType type, const std::byte* a, const std::byte* b, size_t n, uint64_t first,
                 UlpFigures& figures) {
  switch (type) {
    case DType::kF64:
      return Compare<uint64_t>(
          a, b, n, first, [](uint64_t bits) { return std::bit_cast<double>(bits); }, figures);
    case DType::kF32:
      return Compare<uint32_t>(
          a, b, n, first, [](uint32_t bits) { return std::bit_cast<float>(bits); }, figures);
    case DType::kF16:
      return Compare<uint16_t>(a, b, n, first, F16ToF32, figures);
    case DType::kBF16:
      return Compare<uint16_t>(
          a, b, n, first, [](uint16_t bits) { return ToF32(BF16{bits}); }, figures);
    case DType::kF8E4M3:
      return Compare<uint8_t>(a, b, n, first, F8E4M3ToF32, figures);
    case DType::kF8E5M2:
      return Compare<uint8_t>(a, b, n, first, F8E5M2ToF32, figures);
    default:
      CKPT_UNREACHABLE("no type with ULPs");
  }
}

template <class Bits>
bool IsZeroAt(const std::byte* elements, size_t i) {
  return static_cast<Bits>(BitsAt<Bits>(elements, i) << 1U) == 0;  // without the sign
}

template <class Bits, class Round>
void RoundEach(const float* from, std::byte* to, size_t n, Round round) {
  for (size_t i = 0; i < n; ++i) {
    const Bits bits = round(from[i]);
    std::memcpy(to + i * sizeof(Bits), &bits, sizeof(Bits));
  }
}

}  // namespace

bool HasUlps(DType type) {
  return std::find(kUlpTypes.begin(), kUlpTypes.end(), type) != kUlpTypes.end();
}

DType CoarserType(DType a, DType b) {
  const auto* const first = std::find(kUlpTypes.begin(), kUlpTypes.end(), a);
  const auto* const second = std::find(kUlpTypes.begin(), kUlpTypes.end(), b);
  CKPT_CHECK(first != kUlpTypes.end() && second != kUlpTypes.end());
  return *std::max(first, second);
}

void RoundTo(DType type, const float* from, std::byte* to, size_t n) {
  switch (type) {
    case DType::kF16:
      return RoundEach<uint16_t>(from, to, n, F32ToF16);
    case DType::kF8E4M3:
      return RoundEach<uint8_t>(from, to, n, F32ToF8E4M3);
    case DType::kF8E5M2:
      return RoundEach<uint8_t>(from, to, n, F32ToF8E5M2);
    default: {
      const ConvertFn convert = FindConvert(DType::kF32, type);
      CKPT_CHECK(convert != nullptr);
      convert(reinterpret_cast<const std::byte*>(from), to, n);
    }
  }
}

void CompareElements(DType type, const std::byte* a, const std::byte* b, size_t n, uint64_t first,
                     UlpFigures& figures) {
  figures.elements += n;
  const size_t bytes = ElementBytes(type);
  for (size_t at = 0; at < n; at += kStep) {
    const size_t count = std::min(kStep, n - at);
    if (std::memcmp(a + at * bytes, b + at * bytes, count * bytes) == 0) continue;
    CompareStep(type, a + at * bytes, b + at * bytes, count, first + at, figures);
  }
}

bool AreZeros(DType type, const std::byte* elements, size_t n) {
  for (size_t i = 0; i < n; ++i) {
    bool is_zero = false;
    switch (ElementBytes(type)) {
      case 1:
        is_zero = IsZeroAt<uint8_t>(elements, i);
        break;
      case 2:
        is_zero = IsZeroAt<uint16_t>(elements, i);
        break;
      case 4:
        is_zero = IsZeroAt<uint32_t>(elements, i);
        break;
      default:
        is_zero = IsZeroAt<uint64_t>(elements, i);
    }
    if (!is_zero) return false;
  }
  return true;
}

}  // namespace ckpt
