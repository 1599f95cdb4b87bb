#pragma once

#include <span>
#include <string>
#include <string_view>

#include "cli/entrypoint/contract.h"

namespace ckpt::contract {

/// Whether these words speak to the container's contract (checkpoint_entrypoint.sh) and not to the
/// verbs of `ckpt`. `program`: the name under which the program was started, with or without a
/// folder. A known verb as first word selects the verbs under every name.
bool IsAddressed(std::string_view program, std::span<const std::string> words,
                 std::span<const std::string> verbs);

/// Does what the argument list of a Job asks for; returns the exit status.
int Run(std::string_view program, std::span<const std::string> words,
        const Environment& environment);

}  // namespace ckpt::contract
