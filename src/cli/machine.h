#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace ckpt {

/// Cores that this process may run on.
unsigned CoreCount();

/// Memory that this process may use: the machine's, or its control group's limit (version 1 or 2)
/// where that is less.
uint64_t MachineMemoryBytes();

/// A variable of this process's environment (base/environment.h).
std::optional<std::string> ReadEnvironment(const char* name);

}  // namespace ckpt
