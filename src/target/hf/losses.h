#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "model/model.h"
#include "plan/target.h"

namespace ckpt {

/// What a source's own arithmetic has cost: roles whose values do not come back bit for bit when
/// it is undone, one line for each kind of role, with the share of values that change. Empty where
/// everything is exact.
Result<std::vector<std::string>> LossesOf(const Model& model, const Catalog& catalog);

}  // namespace ckpt
