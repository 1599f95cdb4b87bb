#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

/// model.safetensors.index.json: which shard holds which tensor (docs/formats/safetensors.md). No
/// I/O.
namespace ckpt::safetensors {

/// The longest index that is read. 100 bytes a tensor: a model of a million tensors.
inline constexpr uint64_t kMaxIndexBytes = 100'000'000;
/// DecodeIndex holds at most this many bytes per byte of text, result included, beside the text
/// itself.
inline constexpr uint64_t kDecodeBytesPerIndexByte = 16;

struct Index {
  struct Entry {
    std::string tensor;
    uint32_t shard = 0;  ///< into `shards`
    bool operator==(const Entry&) const = default;
  };
  std::vector<Entry> entries;  ///< sorted by tensor, byte-wise; each tensor once; never empty
  std::vector<std::string>
      shards;  ///< sorted; as written there: unsafe until SafeName() has seen them
  std::optional<uint64_t> total_size_bytes;  ///< metadata.total_size, where it is a whole number

  bool operator==(const Index&) const = default;
};

/// Errors: kBadInput with the byte, or the key: no JSON object, no `weight_map` of strings, an
/// empty one, a tensor or `weight_map` named twice.
Result<Index> DecodeIndex(std::string_view text);

/// The file as huggingface_hub writes it: json.dumps(indent=2, sort_keys=True) and a newline, but
/// non-ASCII as UTF-8.
std::string EncodeIndex(const Index& index);

}  // namespace ckpt::safetensors
