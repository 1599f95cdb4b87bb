#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"
#include "format/ocdbt/file_table.h"
#include "format/ocdbt/manifest.h"

namespace ckpt {

/// A node of the tree (docs/formats/ocdbt.md). A leaf holds keys with values, an interior node keys
/// with children; a key leaves out the prefix that the node inherits from its parent.
/// Origin: google/tensorstore, tensorstore/kvstore/ocdbt/format/btree.cc.

inline constexpr uint64_t kOcdbtMaxNodeBytes = 64ULL << 20U;
inline constexpr uint64_t kOcdbtMaxDecodedNodeBytes = 256ULL << 20U;
inline constexpr uint64_t kOcdbtMaxEntries = 1U << 20U;
inline constexpr uint64_t kOcdbtMaxKeyBytes = 65535;
inline constexpr uint64_t kOcdbtMaxInlineBytes = 1U << 20U;

/// A range of a data file: an index into the node's own table of files.
struct OcdbtRange {
  uint32_t file = 0;
  uint64_t offset = 0;
  uint64_t length = 0;
  bool operator==(const OcdbtRange&) const = default;
};

/// What a node has at a key. Views live as long as the call that gives them.
struct OcdbtInline {
  std::string_view bytes;
};
struct OcdbtChild {
  uint64_t prefix_bytes = 0;  ///< of this key: what the child's keys leave out besides
  OcdbtRange range;
  OcdbtStatistics statistics;
};
struct OcdbtNodeEntry {
  std::string_view key;  ///< without the inherited prefix
  std::variant<OcdbtInline, OcdbtRange, OcdbtChild> value;
};

struct OcdbtNodeHeader {
  uint8_t height = 0;  ///< 0: a leaf
  std::vector<OcdbtFile> files;
  uint64_t entries = 0;
};

/// Called for each entry, in the order of keys.
using OcdbtNodeVisit =
    std::function<Result<void>(const OcdbtNodeHeader& header, const OcdbtNodeEntry& entry)>;

/// `bytes` is exactly the node. `height`: what its parent promises; `transitive`: the base of the
/// file that holds it. Entries are never held all at once: shared prefixes let a small node stand
/// for any number of key bytes. Memory: the decoded body, at most `most_decoded_bytes`. Errors:
/// kBadInput with the byte in the node; kResources, before the first visit, for a body that needs
/// more than `most_decoded_bytes` where a node may have more; those of `visit`.
Result<void> DecodeOcdbtNode(std::string_view bytes, uint8_t height, std::string_view transitive,
                             uint64_t most_decoded_bytes, const OcdbtNodeVisit& visit);

/// An entry as the encoders take it; ranges are indexes into `files` of the call.
struct OcdbtLeafItem {
  std::string_view key;  ///< in full
  std::variant<std::string_view, OcdbtRange> value;
};
struct OcdbtChildItem {
  std::string_view key;  ///< in full: the child's first key
  OcdbtChild child;      ///< prefix_bytes counts from the full key's beginning
};

/// Uncompressed nodes whose keys leave out their first `prefix_bytes` bytes. Items are in the order
/// of keys; `files` need no order and may hold more than the node uses.
std::string EncodeOcdbtLeaf(std::span<const OcdbtLeafItem> items, uint64_t prefix_bytes,
                            std::span<const OcdbtFile> files);
std::string EncodeOcdbtInterior(uint8_t height, std::span<const OcdbtChildItem> items,
                                uint64_t prefix_bytes, std::span<const OcdbtFile> files);

}  // namespace ckpt
