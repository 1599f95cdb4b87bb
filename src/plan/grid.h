#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "model/view.h"

namespace ckpt {

/// Devices that cut an axis: {"e": 16, "h": 4}.
using Mesh = std::map<std::string, uint64_t>;

/// The chunk grid: a function of the slice's shape and the mesh only, counted at 2 bytes an element
/// whatever the dtype, so that all arrays made from one role share it.
///   axes       of one array in its own order ('l' is the layer axis, 'x' the expert axis, 'd' the
///   head width) hf_order   axis names of the role's `hf` cell, outermost first
/// Returns the chunk extent of each of `axes`. Origin: docs/formats/grid.md.
std::vector<uint64_t> ChunkGrid(std::span<const Axis> axes, std::span<const std::string> hf_order,
                                const Mesh& mesh);

/// Units of a role's band axis in one band: the grid's extent of the outermost axis of its `hf`
/// cell. Every role has bands, whatever the source and the target. `axes` in canonical order, the
/// band axis first.
uint64_t BandExtent(std::span<const Axis> axes);

}  // namespace ckpt
