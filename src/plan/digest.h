#pragma once

#include <string>

#include "plan/chunked_plan.h"
#include "plan/plan.h"

namespace ckpt {

/// Bytes of what we write depend on this number, the layout digest holds it: raise it with any
/// change of them.
inline constexpr int kLayoutVersion = 1;

/// SHA-256 over a canonical text of outputs, arrays, dtypes, grids and bundle borders: all of the
/// plan that enters an output. Names, ids and temporary names derive from it alone.
std::string LayoutDigest(const Plan& plan);
std::string LayoutDigest(const ChunkedPlan& plan);

/// The layout digest, the settings and the source's identity (relative names, sizes, generations):
/// what a resumed run must agree on. Budget, threads, lanes, tiles, passes, store and path are in
/// neither.
std::string RunDigest(const Plan& plan);
std::string RunDigest(const ChunkedPlan& plan);

}  // namespace ckpt
