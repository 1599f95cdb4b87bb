#pragma once

#include <string_view>

#include "plan/chunked_target.h"
#include "target/maxtext/quantized.h"

namespace ckpt::maxtext {

/// The tree of the training state with all layers of a kind in one array ("scanned"), or with one
/// subtree a layer.
Result<ChunkedOutput> FloatOutput(const Model& model, bool is_scanned, DType dtype,
                                  const Mesh& mesh);

/// The tree of a quantized type, always one subtree a layer.
Result<ChunkedOutput> QuantizedTree(const Model& model, const QuantizedOutput& type,
                                    QuantLayout layout, const Mesh& mesh);

}  // namespace ckpt::maxtext
