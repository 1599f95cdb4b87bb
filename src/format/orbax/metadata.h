#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "format/orbax/tree.h"

namespace ckpt {

/// The JSON files of an Orbax checkpoint: "_METADATA" beside the arrays, and "_CHECKPOINT_METADATA"
/// of the step (docs/formats/orbax.md). Origin: google/orbax,
/// checkpoint/orbax/checkpoint/_src/metadata/tree.py and checkpoint.py.

inline constexpr std::string_view kOrbaxMetadataName = "_METADATA";
inline constexpr std::string_view kOrbaxStepMetadataName = "_CHECKPOINT_METADATA";
inline constexpr std::string_view kOrbaxMarkerName = "commit_success.txt";

/// "key_type" in "_METADATA": an index of a list, or a key of a dict.
inline constexpr uint64_t kOrbaxSequenceKeyType = 1;
inline constexpr uint64_t kOrbaxDictKeyType = 2;

/// Bounds of our own.
inline constexpr uint64_t kOrbaxMaxMetadataBytes = 256ULL << 20U;
inline constexpr uint64_t kOrbaxMaxLeaves = 1ULL << 20U;
inline constexpr uint64_t kOrbaxMaxPathKeys = 64;
/// Most memory of the decoded tree per byte of "_METADATA": each leaf takes 40 bytes of it or more.
inline constexpr uint64_t kDecodeBytesPerMetadataByte = 6;

struct OrbaxMetadata {
  std::vector<OrbaxLeaf> leaves;  ///< in the file's order
  bool use_zarr3 = false;
  /// As written; absent in older releases: the presence of manifest.ocdbt decides.
  std::optional<bool> use_ocdbt = {};
  /// Every chunk is stored, so a missing one is damage; absent is false.
  bool stores_fill_chunks = false;
};

/// Byte for byte what orbax's json.dumps gives for the same tree, custom_metadata null. Of all
/// characters that Python's repr escapes in a text key, only control characters are: those keys are
/// never parsed. The tree is one that CheckOrbaxTree accepts.
std::string EncodeOrbaxMetadata(const OrbaxMetadata& metadata);

/// Text keys are ignored, unknown members too. Errors: kBadInput with byte and key: no JSON, a leaf
/// without key_metadata, a key without name or type, one path twice, too many leaves.
Result<OrbaxMetadata> DecodeOrbaxMetadata(std::string_view json);

/// "_CHECKPOINT_METADATA" of a step whose one item is `item` ("items"), or, where that is empty, of
/// an item that lies at the top. Both times are 1: outputs do not depend on the clock.
std::string EncodeOrbaxStepMetadata(std::string_view item);

/// The text of commit_success.txt; its content is not read by anyone.
inline constexpr std::string_view kOrbaxMarkerText = "Checkpoint commit was successful";

}  // namespace ckpt
