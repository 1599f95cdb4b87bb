#pragma once

#include <bit>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace ckpt {

/// Little-endian bytes, one after the other, as GGUF files have them.
class GgufBytes {
 public:
  GgufBytes& U8(uint64_t x) { return Number(x, 1); }
  GgufBytes& U16(uint64_t x) { return Number(x, 2); }
  GgufBytes& U32(uint64_t x) { return Number(x, 4); }
  GgufBytes& U64(uint64_t x) { return Number(x, 8); }
  GgufBytes& F32(float x) { return U32(std::bit_cast<uint32_t>(x)); }
  GgufBytes& Text(std::string_view text) {
    U64(text.size());
    bytes_ += text;
    return *this;
  }
  GgufBytes& Raw(std::string_view bytes) {
    bytes_ += bytes;
    return *this;
  }
  /// Magic, version and counts.
  GgufBytes& Begin(uint64_t tensors, uint64_t keys, uint32_t version = 3) {
    return Raw("GGUF").U32(version).U64(tensors).U64(keys);
  }
  /// A key of type u32.
  GgufBytes& Key(std::string_view key, uint32_t value) { return Text(key).U32(4).U32(value); }
  /// A line of the tensor table; `extents` innermost first.
  GgufBytes& Tensor(std::string_view name, const std::vector<uint64_t>& extents, uint32_t type,
                    uint64_t offset) {
    Text(name).U32(extents.size());
    for (const uint64_t extent : extents) U64(extent);
    return U32(type).U64(offset);
  }
  /// Zeros up to a multiple of `alignment`, then `data_bytes` more.
  GgufBytes& Data(uint64_t data_bytes, uint64_t alignment = 32) {
    bytes_.resize((bytes_.size() + alignment - 1) / alignment * alignment + data_bytes);
    return *this;
  }
  const std::string& bytes() const { return bytes_; }

 private:
  GgufBytes& Number(uint64_t x, int size) {
    for (int i = 0; i < size; ++i)
      bytes_ += static_cast<char>(static_cast<unsigned char>(x >> (8 * i)));
    return *this;
  }

  std::string bytes_;
};

}  // namespace ckpt
