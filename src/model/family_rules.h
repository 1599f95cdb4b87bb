#pragma once

#include "model/family.h"
#include "model/faults.h"

namespace ckpt {

/// What the keys of a table owe each other: names that exist, axes that agree, no name claimed
/// twice. Also puts the dimensions into an order in which each follows those it needs, and gives
/// each row its canonical axes.
void ApplyRules(FamilyTable& table, TableFaults& faults);

}  // namespace ckpt
