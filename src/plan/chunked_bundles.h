#pragma once

#include "plan/chunked_plan.h"

namespace ckpt {

/// Fills plan.bundles from its works and bundle_bytes: borders lie between roles' slices or, inside
/// a slice larger than a bundle, between bands; they depend on the outputs' grids and the bundle
/// size alone. A bundle's size is that of its largest data file.
void CutChunkedBundles(ChunkedPlan& plan);

}  // namespace ckpt
