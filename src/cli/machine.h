#pragma once

#include <cstdint>

namespace ckpt {

/// Cores that this process may run on.
unsigned CoreCount();

/// Memory that this process may use: the machine's, or its control group's limit (version 1 or 2)
/// where that is less.
uint64_t MachineMemoryBytes();

/// The program itself, its threads and libraries, the catalog: what a run may hold above its
/// budget.
inline constexpr uint64_t kBesideBudgetBytes = 64ULL << 20;

}  // namespace ckpt
