#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/byte_range.h"
#include "base/dtype.h"
#include "base/result.h"
#include "base/shape.h"
#include "format/gguf/window_reader.h"

/// A GGUF file, version 2 or 3: keys, tensor table, padding, tensors (docs/formats/gguf.md).
/// Origin: ggml-org/ggml, docs/gguf.md and src/gguf.cpp.
namespace ckpt::gguf {

/// Bounds of our own on what a file may ask of us; real files stay far below them.
inline constexpr uint64_t kMaxHeaderBytes = 512ULL
                                            << 20U;  ///< the largest vocabularies take some 20 MB
inline constexpr uint64_t kMaxNameBytes =
    65535;  ///< of a key (the format's own limit) or a tensor's name
inline constexpr uint64_t kMaxKeptTextBytes =
    1ULL << 20U;  ///< longer string values are skipped as arrays are
inline constexpr uint32_t kMaxArrayDepth = 4;
inline constexpr uint32_t kMaxDimensions = 4;
inline constexpr uint32_t kDefaultAlignment = 32;

/// A value that is not kept: an array, or a string over kMaxKeptTextBytes.
struct Skipped {
  uint64_t length = 0;  ///< elements, or bytes
  bool operator==(const Skipped&) const = default;
};

using Value = std::variant<bool, int64_t, uint64_t, double, std::string, Skipped>;

struct KeyValue {
  std::string key;
  Value value;
};

struct Tensor {
  std::string name;
  DType dtype = DType::kF32;
  Shape shape;     ///< row-major: the reverse of the file's order
  ByteRange data;  ///< in the file
};

struct Header {
  uint32_t version = 0;
  uint64_t alignment = kDefaultAlignment;
  uint64_t header_bytes = 0;     ///< up to the padding
  uint64_t data_begin = 0;       ///< header_bytes, aligned
  std::vector<KeyValue> values;  ///< in the file's order
  std::vector<Tensor> tensors;   ///< in the file's order
};

/// Reads the header through `window` (at least 16 bytes; 256 KiB are good) and checks every rule of
/// docs/formats/gguf.md, the tensors' bytes against `file_bytes` included. Counts are held against
/// the bytes left before anything is allocated, and all that is kept stays within `memory_bytes`.
/// Errors: kBadInput with byte, key or tensor; kResources where the header needs more than
/// `memory_bytes`.
Result<Header> DecodeHeader(const ReadBytes& read, uint64_t file_bytes, std::span<std::byte> window,
                            uint64_t memory_bytes);

/// The value of an unsigned or non-negative integer key; nothing where it is absent or of another
/// type.
std::optional<uint64_t> FindUnsigned(const Header& header, std::string_view key);

}  // namespace ckpt::gguf
