#pragma once

#include <cstddef>

/// Scalar dequantizers: how one block of a GGUF type becomes float32 values.
namespace ckpt::reference {

template <size_t kBlockElements, size_t kBlockBytes>
struct Block {
  static constexpr size_t kElements = kBlockElements;
  static constexpr size_t kBytes = kBlockBytes;
};

struct FromQ40 : Block<32, 18> {
  static void Decode(const std::byte* block, float* out);
};
struct FromQ41 : Block<32, 20> {
  static void Decode(const std::byte* block, float* out);
};
struct FromQ50 : Block<32, 22> {
  static void Decode(const std::byte* block, float* out);
};
struct FromQ51 : Block<32, 24> {
  static void Decode(const std::byte* block, float* out);
};
struct FromQ80 : Block<32, 34> {
  static void Decode(const std::byte* block, float* out);
};
struct FromIQ4NL : Block<32, 18> {
  static void Decode(const std::byte* block, float* out);
};
struct FromQ2K : Block<256, 84> {
  static void Decode(const std::byte* block, float* out);
};
struct FromQ3K : Block<256, 110> {
  static void Decode(const std::byte* block, float* out);
};
struct FromQ4K : Block<256, 144> {
  static void Decode(const std::byte* block, float* out);
};
struct FromQ5K : Block<256, 176> {
  static void Decode(const std::byte* block, float* out);
};
struct FromQ6K : Block<256, 210> {
  static void Decode(const std::byte* block, float* out);
};
struct FromIQ4XS : Block<256, 136> {
  static void Decode(const std::byte* block, float* out);
};

}  // namespace ckpt::reference
