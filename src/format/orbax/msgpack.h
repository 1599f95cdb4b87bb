#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "format/orbax/tree.h"

namespace ckpt {

/// The file "checkpoint": the tree once more as msgpack, each leaf a placeholder. orbax 0.5 needs
/// it, later releases ignore it (docs/formats/orbax.md). Origin: google/orbax,
/// checkpoint/orbax/checkpoint/aggregate_handlers.py; msgpack/msgpack, spec.md.

inline constexpr std::string_view kOrbaxAggregateName = "checkpoint";
inline constexpr uint64_t kOrbaxMaxAggregateBytes = 256ULL << 20U;
/// Most memory of the decoded leaves.
inline constexpr uint64_t kOrbaxMostAggregateMemory = 64ULL << 20U;

/// Maps with sorted keys, lists for sequences. The tree is one that CheckOrbaxTree accepts
/// (CKPT_CHECKed as far as it matters here).
std::string EncodeOrbaxAggregate(std::span<const OrbaxLeaf> leaves);

/// The leaves in the file's order; those of empty maps and lists are "Dict" and "List", the others
/// have no value_type. Errors: kBadInput with the byte; in particular for a file whose leaves hold
/// their values (older checkpoints), and for counts that cannot fit.
Result<std::vector<OrbaxLeaf>> DecodeOrbaxAggregate(std::string_view bytes);

}  // namespace ckpt
