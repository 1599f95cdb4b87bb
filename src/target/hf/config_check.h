#pragma once

#include "base/result.h"
#include "model/model.h"
#include "plan/target.h"

namespace ckpt {

/// Holds a config.json to a model whose dimensions another configuration told (GGUF's keys, Meta's
/// params.json): kBadInput with all that differs at once. kUsage for one of a model with other
/// parts than text, which are not written.
Result<void> CheckConfig(const Model& model, const Catalog& catalog, const SourceConfig& config);

}  // namespace ckpt
