#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/byte_range.h"
#include "base/dtype.h"
#include "base/result.h"
#include "base/shape.h"

/// A safetensors file: u64 length n, n bytes of JSON, the tensors' bytes back to back
/// (docs/formats/safetensors.md). Origin of the rules and of the written order:
/// huggingface/safetensors 0.8, safetensors/src/tensor.rs.
namespace ckpt::safetensors {

/// Bytes before the JSON: its length, little endian.
inline constexpr uint64_t kLengthBytes = 8;
/// The longest JSON, decimal as in the reference.
inline constexpr uint64_t kMaxHeaderBytes = 100'000'000;
/// DecodeHeader holds at most this many bytes per byte of JSON, result included, beside the JSON
/// itself. The costliest texts are a `__metadata__` of short keys (a map node of 110 bytes per 10
/// of text) and one endless shape (8 bytes per 2 of text, held twice while it moves into its
/// entry); real headers take 2.
inline constexpr uint64_t kDecodeBytesPerHeaderByte = 16;

struct Tensor {
  std::string name;  ///< data: any UTF-8, also empty or with "..": never a path
  DType dtype = DType::kF32;
  Shape shape;
  ByteRange data;  ///< from the byte after the header
  bool operator==(const Tensor&) const = default;
};

using Metadata = std::map<std::string, std::string>;

struct Header {
  std::vector<Tensor>
      tensors;  ///< by place in the file: they follow each other without gap or overlap
  std::optional<Metadata> metadata;  ///< `__metadata__`, where the file has one
};

/// The length of the JSON. `front`: the first bytes of the file, at least kLengthBytes where it has
/// so many (more of them tell what a wrong file is). Errors: kBadInput for a file that is too
/// short, a length over the limit or beyond the end.
Result<uint64_t> DecodeHeaderLength(std::string_view front, uint64_t file_bytes);

/// The tensors, after every rule of docs/formats/safetensors.md. `json`: the n bytes after the
/// length. Stricter than the reference in one rule: a name that appears twice is refused, not
/// overwritten. Errors: kBadInput with byte (of the file) or tensor. Memory: see
/// kDecodeBytesPerHeaderByte.
Result<Header> DecodeHeader(std::string_view json, uint64_t file_bytes);

/// What to write of one tensor.
struct TensorSpec {
  std::string name;
  DType dtype = DType::kF32;
  Shape shape;
};

struct EncodedHeader {
  std::string
      bytes;  ///< the file's beginning: length and JSON, padded with spaces to a multiple of 8
  std::vector<Tensor> tensors;  ///< in the order in which their bytes follow
  uint64_t data_bytes = 0;      ///< the file's size is bytes.size() + data_bytes
};

/// The header that the reference writes for these tensors, whatever their order here: widest dtypes
/// first (DType's order, descending), then names byte-wise; compact JSON, `__metadata__` first.
/// Byte-equal to the reference for at most one metadata key (its own order of several is that of a
/// hash map; ours is by key). Errors: kCannotCreate for a name twice, no UTF-8 or `__metadata__`, a
/// dtype that safetensors lacks, a shape that overflows or ends inside a byte, and JSON over
/// kMaxHeaderBytes.
Result<EncodedHeader> EncodeHeader(std::vector<TensorSpec> tensors,
                                   const std::optional<Metadata>& metadata);

}  // namespace ckpt::safetensors
