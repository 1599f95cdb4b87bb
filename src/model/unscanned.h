#pragma once

#include "model/family.h"
#include "model/faults.h"

namespace ckpt {

/// Adds to each scheme whose cells have an `unscanned` name a scheme "NAME-unscanned": the same
/// cells without their layer axes and under those names; the other cells, and the rules for tensors
/// without a role, are shared. A fault where a cell that stacks layers has no such name.
void AddUnscanned(FamilyTable& table, TableFaults& faults);

}  // namespace ckpt
