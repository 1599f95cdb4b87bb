#include "kernel/reference_blocks.h"

#include "base/float.h"
#include "kernel/block_scales.h"
#include "kernel/unaligned.h"

namespace ckpt::reference {
namespace {

// Block layouts and formulas: ggml-org/ggml, ggml-quants.c `dequantize_row_*`. All in float32, each
// operation rounded by itself (the build sets -ffp-contract=off).

float Half(const std::byte* p) { return F16ToF32(LoadUnaligned<uint16_t>(p)); }
int Low(std::byte b) { return std::to_integer<int>(b & std::byte{15}); }
int High(std::byte b) { return std::to_integer<int>(b >> 4); }
// `count` bits from bit `shift` on.
int Bits(std::byte b, size_t shift, int count) {
  return std::to_integer<int>(b) >> shift & ((1 << count) - 1);
}
// Low nibbles are a block's first 16 elements, high nibbles its last.
int Nibble(const std::byte* packed, size_t e) {
  return e < 16 ? Low(packed[e]) : High(packed[e - 16]);
}
// A nibble and, as bit 4, bit e of the 32 before the nibbles.
int FiveBits(const std::byte* packed, size_t e) {
  return Nibble(packed + 4, e) | Bits(packed[e / 8], e % 8, 1) << 4;
}

// Q4_K and Q5_K: sub-blocks of 32 with `(d * scale) * q - (dmin * minimum)`. d, dmin, 12 bytes of
// scales; in the nibbles, each group of 32 bytes holds two sub-blocks. `high`: bit j of byte l is
// bit 4 of element l of sub-block j.
void DecodeSubBlocks(const std::byte* block, const std::byte* nibbles, const std::byte* high,
                     float* out) {
  const float d = Half(block);
  const float d_min = Half(block + 2);
  const auto [scales, minima] = UnpackScalesAndMinima(block + 4);
  for (size_t e = 0; e < 256; ++e) {
    const size_t j = e / 32;
    const size_t l = e % 32;
    const std::byte pair = nibbles[32 * (j / 2) + l];
    int q = j % 2 == 0 ? Low(pair) : High(pair);
    if (high != nullptr) q |= Bits(high[l], j, 1) << 4;
    const float scale = d * static_cast<float>(scales[j]);
    const float minimum = d_min * static_cast<float>(minima[j]);
    out[e] = scale * static_cast<float>(q) - minimum;
  }
}

// Two bits of element e of Q2_K and Q3_K: each half of the block has 32 bytes, four elements in
// one.
int TwoBits(const std::byte* packed, size_t e) {
  return Bits(packed[32 * (e / 128) + e % 32], 2 * (e % 128 / 32), 2);
}

}  // namespace

void FromQ80::Decode(const std::byte* block, float* out) {
  const float d = Half(block);
  for (size_t e = 0; e < kElements; ++e)
    out[e] = d * static_cast<float>(LoadUnaligned<int8_t>(block + 2 + e));
}
void FromQ40::Decode(const std::byte* block, float* out) {
  const float d = Half(block);
  for (size_t e = 0; e < kElements; ++e) out[e] = d * static_cast<float>(Nibble(block + 2, e) - 8);
}
void FromQ41::Decode(const std::byte* block, float* out) {
  const float d = Half(block);
  const float m = Half(block + 2);
  for (size_t e = 0; e < kElements; ++e) out[e] = d * static_cast<float>(Nibble(block + 4, e)) + m;
}
void FromQ50::Decode(const std::byte* block, float* out) {
  const float d = Half(block);
  for (size_t e = 0; e < kElements; ++e)
    out[e] = d * static_cast<float>(FiveBits(block + 2, e) - 16);
}
void FromQ51::Decode(const std::byte* block, float* out) {
  const float d = Half(block);
  const float m = Half(block + 2);
  for (size_t e = 0; e < kElements; ++e)
    out[e] = d * static_cast<float>(FiveBits(block + 4, e)) + m;
}
void FromIQ4NL::Decode(const std::byte* block, float* out) {
  const float d = Half(block);
  for (size_t e = 0; e < kElements; ++e)
    out[e] = d * static_cast<float>(kIQ4Values[static_cast<size_t>(Nibble(block + 2, e))]);
}

// Bytes: scales[16] (low nibble) with minima (high nibble), qs[64], d, dmin. Sub-blocks of 16.
void FromQ2K::Decode(const std::byte* block, float* out) {
  const float d = Half(block + 80);
  const float d_min = Half(block + 82);
  for (size_t e = 0; e < kElements; ++e) {
    const float scale = d * static_cast<float>(Low(block[e / 16]));
    const float minimum = d_min * static_cast<float>(High(block[e / 16]));
    out[e] = scale * static_cast<float>(TwoBits(block + 16, e)) - minimum;
  }
}
// Bytes: hmask[32], qs[64], scales[12], d. A clear bit of hmask takes 4 away: bit e / 32 of byte
// e % 32.
void FromQ3K::Decode(const std::byte* block, float* out) {
  const float d = Half(block + 108);
  const auto scales = UnpackQ3KScales(block + 96);
  for (size_t e = 0; e < kElements; ++e) {
    const float scale = d * static_cast<float>(scales[e / 16]);
    const int less = Bits(block[e % 32], e / 32, 1) != 0 ? 0 : 4;
    out[e] = scale * static_cast<float>(TwoBits(block + 32, e) - less);
  }
}
// Bytes: d, dmin, scales[12], qs[128].
void FromQ4K::Decode(const std::byte* block, float* out) {
  DecodeSubBlocks(block, block + 16, nullptr, out);
}
// Bytes: d, dmin, scales[12], qh[32], qs[128].
void FromQ5K::Decode(const std::byte* block, float* out) {
  DecodeSubBlocks(block, block + 48, block + 16, out);
}
// Bytes: ql[128], qh[64], int8 scales[16], d. Each half of the block has 64 bytes of ql and 32 of
// qh.
void FromQ6K::Decode(const std::byte* block, float* out) {
  const float d = Half(block + 208);
  for (size_t e = 0; e < kElements; ++e) {
    const size_t half = e / 128;
    const size_t quarter = e % 128 / 32;
    const size_t l = e % 32;
    const std::byte low = block[64 * half + 32 * (quarter % 2) + l];
    const int high = Bits(block[128 + 32 * half + l], 2 * quarter, 2);
    const int q = ((quarter < 2 ? Low(low) : High(low)) | high << 4) - 32;
    const float scale = d * static_cast<float>(LoadUnaligned<int8_t>(block + 192 + e / 16));
    out[e] = scale * static_cast<float>(q);
  }
}
// Bytes: d, u16 and 4 bytes of scales, qs[128]: sub-blocks of 32, each as one of IQ4_NL.
void FromIQ4XS::Decode(const std::byte* block, float* out) {
  const float d = Half(block);
  const auto scales = UnpackIQ4XSScales(block + 2);
  for (size_t e = 0; e < kElements; ++e) {
    const float scale = d * static_cast<float>(scales[e / 32]);
    const int nibble = Nibble(block + 8 + 16 * (e / 32), e % 32);
    out[e] = scale * static_cast<float>(kIQ4Values[static_cast<size_t>(nibble)]);
  }
}

}  // namespace ckpt::reference
