#pragma once

#include <functional>
#include <string>

#include "cli/entrypoint/log.h"
#include "cli/entrypoint/settings.h"

namespace ckpt::contract {

/// Checks source, outputs and credentials, converts, and says so in the contract's lines; those
/// that users wait for come after the commit. Returns the container's last message. Errors: those
/// of the conversion; each goes to `tell` first, then it is left as .ckpt-state/report.json where
/// the output can be reached and holds no state of another run.
Result<std::string> RunJob(const Contract& contract, const Arguments& arguments,
                           const Environment& environment, Log& log,
                           const std::function<void(const Error&)>& tell);

}  // namespace ckpt::contract
