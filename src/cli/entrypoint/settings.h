#pragma once

#include "cli/arguments.h"
#include "cli/entrypoint/contract.h"

namespace ckpt::contract {

/// Translates the contract into the words of `ckpt convert`, and checks the options that the verbs
/// have too; source and destination are found later. What is wrong joins `faults`; the error is all
/// of them. `environment` goes with the arguments. Errors: kUsage.
Result<Arguments> Settle(const Contract& contract, const Words& words,
                         const Environment& environment, Faults& faults);

}  // namespace ckpt::contract
