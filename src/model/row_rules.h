#pragma once

#include <set>
#include <string>

#include "model/family.h"
#include "model/faults.h"

namespace ckpt {

/// TableFaults for names in an expression (its text, and the names in it) that are no dimension;
/// `l` is one where a layer is at hand.
void CheckDimNames(const std::string& text, const std::vector<std::string>& names,
                   const std::set<std::string>& dims, bool has_layer, const TableFault& place,
                   TableFaults& faults);

/// What the keys of a row and of its cells owe each other. Also gives the row its canonical axes.
/// `key` is the row's place ("tensor[3]").
void CheckRow(Row& row, const std::string& key, const std::set<std::string>& dims,
              TableFaults& faults);

}  // namespace ckpt
