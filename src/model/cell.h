#pragma once

#include <map>
#include <span>
#include <string>

#include "base/result.h"
#include "model/family.h"
#include "model/model.h"

namespace ckpt {

/// A cell with everything that a model settles filled in. `axes` are those of its role; `scope` has
/// the model's dimensions and the role's layer; `facts` decide the choices of layout.
/// Errors: kBadInput for what the dimensions do not allow.
Result<CellInstance> FillCell(const Family& family, const Cell& cell, std::span<const Axis> axes,
                              const Scope& scope, const std::map<std::string, std::string>& facts);

/// The shape of a constant cell: that of its layout's axes.
Shape ConstantShape(const Cell& cell, const Dims& dims);

}  // namespace ckpt
