#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace ckpt {

/// The tree of an Orbax checkpoint: leaves at paths of keys (docs/formats/orbax.md).
/// Origin: google/orbax, checkpoint/orbax/checkpoint/_src/metadata/tree.py.

/// One step of a path: the key of a dict, or the decimal index of a list or tuple.
struct OrbaxKey {
  std::string name;
  bool is_sequence = false;
  bool operator==(const OrbaxKey&) const = default;
};

struct OrbaxLeaf {
  std::vector<OrbaxKey> path;
  std::string value_type;  ///< "jax.Array", "np.ndarray", "scalar", "None", "Dict", "List", ...
  bool skip_deserialize = false;  ///< set for leaves without data
  bool operator==(const OrbaxLeaf&) const = default;
};

/// Whether this leaf has no array: one that is not deserialized, or of a type without data of its
/// own ("None", "Dict", "List", "Tuple", "NamedTuple").
bool IsEmptyLeaf(const OrbaxLeaf& leaf);

/// The name of a leaf's array among the keys or files: the path joined with '.', nothing escaped.
std::string OrbaxParamName(std::span<const OrbaxKey> path);
/// The name that our catalogs and reports give it: the path joined with '/'.
std::string OrbaxTensorName(std::span<const OrbaxKey> path);

/// What a writer must hold against its tree: every path has keys, no key is empty, no name has a
/// NUL, an empty, "." or ".." part between '/', or a '/' at an end; no two paths have one name; no
/// leaf lies below another; siblings are all keys of a dict or all indexes 0, 1, ... of a list.
/// Errors: kBadInput with the key, all that is wrong at once.
Result<void> CheckOrbaxTree(std::span<const OrbaxLeaf> leaves);

}  // namespace ckpt
