#pragma once

#include <string>

#include "base/result.h"
#include "model/family.h"
#include "model/model.h"

namespace ckpt {

/// The family's model of this name. kUsage, with the names that there are, for one it does not
/// know.
Result<const ServedModel*> FindServed(const Family& family, const std::string& name);

/// The first model of the family whose sizes and facts are those of `model`; nullptr if none.
const ServedModel* InferServed(const Model& model);

/// What is known of a source besides its tensors.
struct Known {
  const ServedModel* served = nullptr;  ///< points into the family; nullptr for none
  bool is_given = false;                ///< `served` by the user, not by inference
  bool has_config = false;              ///< a configuration told the facts
  std::string rope_layout = {};         ///< forced by the user, or ""
};

/// What the served model means for `model`: its name, and notes and warnings on where the source
/// differs from it.
void NoteServed(const Known& known, Model& model);

/// Decides every choice of layout that is not a fact yet: by the user (the choice "rope"), by the
/// served model, by the choice's facts, or by its default; facts and notes of `model` tell. A
/// warning where a source whose own tensors depend on it does not say it.
/// kUsage for a rotary layout that the family does not have.
Result<void> SettleChoices(const Known& known, Model& model);

}  // namespace ckpt
