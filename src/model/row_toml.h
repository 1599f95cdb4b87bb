#pragma once

#include "model/family.h"
#include "model/section.h"

namespace ckpt {

/// One [[tensor]] of a family file: a role and its cells. Needs the schemes, dimensions and choices
/// of `table`; what is wrong becomes a fault of the section.
Row ReadRow(Section& section, const FamilyTable& table);

}  // namespace ckpt
