#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "format/ocdbt/file_table.h"

namespace ckpt {

/// The manifest of an OCDBT database, "manifest.ocdbt": settings, and where the root of the tree of
/// its latest version lies (docs/formats/ocdbt.md).
/// Origin: google/tensorstore, tensorstore/kvstore/ocdbt/format/manifest.cc, version_tree.cc.

inline constexpr uint64_t kOcdbtMaxManifestBytes = 64ULL << 20U;
/// Offset and length of the root of an empty tree.
inline constexpr uint64_t kOcdbtNoRoot = UINT64_MAX;

struct OcdbtConfig {
  std::array<uint8_t, 16> uuid = {};
  uint32_t max_inline_value_bytes = 1024;
  uint32_t max_decoded_node_bytes = 8U << 20U;
  uint8_t version_tree_arity_log2 = 4;
  /// What later writers are asked to use; says nothing of what is there.
  std::optional<int32_t> zstd_level;
  bool operator==(const OcdbtConfig&) const = default;
};

/// Sums over a tree or the part of it below a node.
struct OcdbtStatistics {
  uint64_t keys = 0;
  uint64_t tree_bytes = 0;      ///< encoded nodes, the node itself included
  uint64_t indirect_bytes = 0;  ///< values in data files
  bool operator==(const OcdbtStatistics&) const = default;
};

/// One state of the database.
struct OcdbtVersion {
  uint64_t generation = 1;
  uint8_t root_height = 0;  ///< 0: the root is a leaf
  OcdbtFile file;           ///< that holds the root node
  uint64_t offset = kOcdbtNoRoot;
  uint64_t length = kOcdbtNoRoot;
  OcdbtStatistics statistics;
  uint64_t commit_time_ns = 1;  ///< since 1970
  bool is_empty() const { return offset == kOcdbtNoRoot && length == kOcdbtNoRoot; }
  bool operator==(const OcdbtVersion&) const = default;
};

struct OcdbtManifest {
  OcdbtConfig config;
  /// Nothing: the manifest is of the numbered kind and holds settings only; the state is in the
  /// "manifest.%016x" with the highest number.
  std::optional<OcdbtVersion> latest;
};

/// `bytes` is the whole file. Earlier versions and the version tree are checked and dropped.
/// Errors: kBadInput with the byte.
Result<OcdbtManifest> DecodeOcdbtManifest(std::string_view bytes);

/// The manifest of a database of one version, uncompressed.
std::string EncodeOcdbtManifest(const OcdbtConfig& config, const OcdbtVersion& version);

}  // namespace ckpt
