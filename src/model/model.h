#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/dtype.h"
#include "base/result.h"
#include "model/value.h"
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
///
/// An axis may be *resized* there (a vocabulary cut or padded): view.extents[k] is then the smaller
/// of the role's extent and the tensor's. Of a cut axis the first elements stay; what the tensor
/// has beyond the role's extent is zeros. Compare views of such roles through Common (view.h).
struct CellInstance {
  std::string name;      ///< of the tensor: "layers.3.attention.wq.weight"
  View view;             ///< role axes -> that tensor
  std::string quantize;  ///< the cell's quantization class: "linear", "embedding" or ""
  /// One per axis of view.tensor, outermost first. Named by its role axis; joined axes by what a
  /// choice calls them ("d" for {rope}), else "h*d"; "l" for stacked layers (with the extent of the
  /// whole stack); "" for an axis of which the cell is one fixed index.
  std::vector<Axis> tensor_axes;
  std::optional<size_t> layer_axis;  ///< of view.tensor: the axis along which layers are stacked
  uint64_t layer_index = 0;          ///< this role's index there
  /// Numbers of the role's axes over which a quantizer of this cell reduces (the contracted ones),
  /// ascending; empty where it is never quantized.
  std::vector<uint64_t> reduce;
  ValueProgram value;  ///< role values -> stored values
  /// One tensor per index of the role axis number `parts_axis` (a file of its own per expert):
  /// their names. `view` and `name` are then those of part 0: extent 1 and stride 0 on that axis.
  /// Empty where one tensor holds it all.
  std::vector<std::string> part_names;
  std::optional<size_t> parts_axis;

  /// Of all its tensors: one, or one per part.
  std::vector<std::string> TensorNames() const {
    return parts_axis ? part_names : std::vector<std::string>{name};
  }
};

/// A role with the source tensor that its values come from.
struct BoundRole {
  RoleInstance instance;
  size_t tensor = 0;    ///< index into Catalog::tensors
  View view;            ///< role axes -> that tensor
  std::string tied_to;  ///< role whose tensor this shares ("token_embedding" for a tied output
                        ///< head), else ""
  ValueProgram value;   ///< source values -> role values (the inverse of the source cell's)
  /// One tensor per index of role axis number `parts_axis` (one file per expert), by index;
  /// `tensor` is then parts[0], and `view` that of one part: extent 1 and stride 0 on that axis.
  /// Empty where `tensor` holds it all.
  std::vector<size_t> parts;
  std::optional<size_t> parts_axis;
};

/// A source understood: which family, which dimensions, which tensor is which role.
struct Model {
  std::shared_ptr<const Family> family;  // shared: models of one family live side by side
  std::string source_scheme;             ///< "hf", "meta", "gguf"
  /// {"e": 4096, "h": 32, ...} by the family's axis names; "L" is the number of layers.
  std::map<std::string, uint64_t> dims;
  /// What else the family read: "rope_scaling" = "llama3", ...; the layouts chosen: "rope" =
  /// "half"; always "tied" = "true" or "false".
  std::map<std::string, std::string> facts;
  std::string served_name;       ///< "llama3.1-8b": given or inferred; "" if none fits
  std::vector<BoundRole> roles;  ///< canonical order: the table's; layer rows repeat layer by layer
  std::vector<std::string> ignored;  ///< source tensors under a named `ignore` rule
  std::vector<std::string> warnings;
  /// What was settled, and why, for a target that depends on it: "rope interleaved, as for
  /// llama3.1-8b: ..."
  std::vector<std::string> notes;
  /// What a server must be told of the layouts chosen, beside the name: "rope_type=llama3.1".
  std::vector<std::string> server_flags;
};

struct BindOptions {
  std::string family = {};       ///< forced by the user, or "" to detect
  std::string model_name = {};   ///< --model, a name of the family's [models]; or "" to infer it
  std::string rope_layout = {};  ///< "half", "interleaved", or "" to decide by name and facts
};

/// Detects the family, reads the dimensions, and holds the whole catalog to the account: every
/// source tensor used or under a named rule, every role present, every shape right. All that is
/// missing, extra, tied against the configuration or of a wrong shape is reported at once
/// (Error::details). Shards of a catalog must have been joined (JoinShards, shards.h). Errors:
/// kBadInput; kUsage for a model name or rotary layout that the family does not know.
Result<Model> BindModel(std::span<const std::shared_ptr<const Family>> families,
                        const Catalog& catalog, const BindOptions& options);

/// `instance` of `model` in another scheme; nothing where its row has no cell there.
/// Errors: kUsage if the family lacks the scheme altogether (naming those it has).
Result<std::optional<CellInstance>> CellIn(const Model& model, const RoleInstance& instance,
                                           std::string_view scheme);

/// An output that comes from no source tensor: every element has this value.
struct Constant {
  std::string name;  ///< "step"
  DType dtype = DType::kI64;
  Shape shape;  ///< of rank 0: a scalar
  int64_t value = 0;
};
/// A node without values.
struct EmptyNode {
  std::string name;  ///< "opt_state"
  std::string kind;  ///< "Dict"
};
/// What a scheme holds besides the roles, in the order of the table.
struct Constants {
  std::vector<Constant> values;
  std::vector<EmptyNode> empty_nodes;
};
/// Errors: kUsage as CellIn.
Result<Constants> ConstantsIn(const Model& model, std::string_view scheme);

/// The tables embedded into the program (parsed once, kept to its end), in the order of
/// models/*.toml, then those of `files` (each overrides a family of its name). Errors: kUsage /
/// kBadInput with file, line and key.
Result<std::vector<std::shared_ptr<const Family>>> LoadFamilies(std::span<const std::string> files);

}  // namespace ckpt
