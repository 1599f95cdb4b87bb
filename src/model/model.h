#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "model/view.h"
#include "source/catalog.h"

namespace ckpt {

class Family;  // model/family.h

/// One logical tensor of one model.
struct RoleInstance {
  std::string role;  ///< "layer.3.attention.q": layer numbers filled in
  size_t row = 0;    ///< of the family's table
  std::optional<uint64_t> layer;
  std::vector<Axis> axes;  ///< canonical order: that of the row's hf cell (its first cell where it
                           ///< has none); the first axis is the band axis
};

/// A role in one naming scheme.
struct CellInstance {
  std::string name;      ///< of the tensor: "layers.3.attention.wq.weight"
  View view;             ///< role axes -> that tensor
  std::string quantize;  ///< the cell's quantization class: "linear", "embedding" or ""
};

/// A role with the source tensor that its values come from.
struct BoundRole {
  RoleInstance instance;
  size_t tensor = 0;    ///< index into Catalog::tensors
  View view;            ///< role axes -> that tensor
  std::string tied_to;  ///< role whose tensor this shares ("token_embedding" for a tied output
                        ///< head), else ""
};

/// A source understood: which family, which dimensions, which tensor is which role.
struct Model {
  std::shared_ptr<const Family> family;  // shared: models of one family live side by side
  std::string source_scheme;             ///< "hf", "meta", "gguf"
  /// {"e": 4096, "h": 32, ...} by the family's axis names; "L" is the number of layers.
  std::map<std::string, uint64_t> dims;
  /// What else the family read: "rope_scaling" = "llama3", ...; always "tied" = "true" or "false".
  std::map<std::string, std::string> facts;
  std::vector<BoundRole> roles;  ///< canonical order: the table's; layer rows repeat layer by layer
  std::vector<std::string> ignored;  ///< source tensors under a named `ignore` rule
  std::vector<std::string> warnings;
};

struct BindOptions {
  std::string family;  ///< forced by the user, or "" to detect
};

/// Detects the family, reads the dimensions, and holds the whole catalog to the account: every
/// source tensor used or under a named rule, every role present, every shape right. All that is
/// missing, extra, tied against the configuration or of a wrong shape is reported at once
/// (Error::details). Errors: kBadInput.
Result<Model> BindModel(std::span<const std::shared_ptr<const Family>> families,
                        const Catalog& catalog, const BindOptions& options);

/// `instance` of `model` in another scheme; nothing where its row has no cell there.
/// Errors: kUsage if the family lacks the scheme altogether (naming those it has).
Result<std::optional<CellInstance>> CellIn(const Model& model, const RoleInstance& instance,
                                           std::string_view scheme);

/// The tables embedded into the program, in the order of models/*.toml, then those of `files` (each
/// overrides a family of its name). Errors: kUsage / kBadInput with file, line and key.
Result<std::vector<std::shared_ptr<const Family>>> LoadFamilies(std::span<const std::string> files);

}  // namespace ckpt
