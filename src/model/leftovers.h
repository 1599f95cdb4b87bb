#pragma once

#include <span>
#include <string>

#include "model/account.h"
#include "model/model.h"

namespace ckpt {

/// What becomes of a source tensor that no role has asked for: a constant of the scheme ("step") or
/// one under an `ignore` rule is noted in the model; one under a `refuse` rule, or that nobody
/// knows, goes to the account. `missing`: names that were looked for in vain, to guess at misspelt
/// ones.
void AccountForLeftover(const std::string& name, std::span<const std::string> missing, Model& model,
                        Account& account);

}  // namespace ckpt
