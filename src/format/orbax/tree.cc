#include "format/orbax/tree.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <utility>

#include "base/text.h"

namespace ckpt {
namespace {

constexpr auto kEmptyTypes =
    std::to_array<std::string_view>({"None", "Dict", "List", "Tuple", "NamedTuple"});
constexpr size_t kShownDefects = 5;

std::string Join(std::span<const OrbaxKey> path, char separator) {
  std::string name;
  for (size_t i = 0; i < path.size(); ++i) {
    if (i > 0) name += separator;
    name += path[i].name;
  }
  return name;
}

std::string Shown(std::span<const OrbaxKey> path) { return Excerpt(OrbaxTensorName(path)); }

// What is wrong with a path by itself, or "".
std::string PathDefect(std::span<const OrbaxKey> path) {
  if (path.empty()) return "a leaf without a path";
  for (const OrbaxKey& key : path) {
    if (key.name.empty()) return fmt::format("{}: an empty key", Shown(path));
    if (FirstInvalidUtf8(key.name) != std::string::npos)
      return fmt::format("{}: a key that is not UTF-8", Shown(path));
  }
  const std::string name = OrbaxParamName(path);
  if (name.find('\0') != std::string::npos) return fmt::format("{}: a NUL byte", Shown(path));
  for (size_t begin = 0; begin <= name.size();) {
    const size_t end = std::min(name.find('/', begin), name.size());
    const std::string_view part = std::string_view(name).substr(begin, end - begin);
    if (part.empty() || part == "." || part == "..")
      return fmt::format("{}: the part \"{}\" of the name cannot be a folder's", Shown(path), part);
    begin = end + 1;
  }
  return "";
}

// One node of the tree, for the rules between paths.
struct Node {
  std::map<std::string, Node> children;
  bool is_leaf = false;
  size_t dict_keys = 0;
  size_t sequence_keys = 0;
};

std::string ShapeDefect(const Node& node, const std::string& name) {
  if (node.dict_keys > 0 && node.sequence_keys > 0)
    return fmt::format("{}: keys of a dict beside indexes of a list", Excerpt(name));
  for (size_t i = 0; i < node.sequence_keys; ++i) {
    if (!node.children.contains(std::to_string(i)))
      return fmt::format("{}: a list of {} without the index {}", Excerpt(name), node.sequence_keys,
                         i);
  }
  return "";
}

void CollectShapeDefects(const Node& node, const std::string& name,
                         std::vector<std::string>& defects) {  // as deep as the longest path
  if (std::string defect = ShapeDefect(node, name); !defect.empty())
    defects.push_back(std::move(defect));
  for (const auto& [key, child] : node.children)
    CollectShapeDefects(child, name.empty() ? key : std::string(name).append("/").append(key),
                        defects);
}

// Puts a path into the tree; what is wrong with it beside the others, or "".
std::string Insert(Node& root, std::span<const OrbaxKey> path) {
  Node* node = &root;
  for (const OrbaxKey& key : path) {
    if (node->is_leaf) return fmt::format("{}: lies below another leaf", Shown(path));
    const auto [at, is_new] = node->children.try_emplace(key.name);
    if (is_new) ++(key.is_sequence ? node->sequence_keys : node->dict_keys);
    node = &at->second;
  }
  if (node->is_leaf || !node->children.empty())
    return fmt::format("{}: appears twice, or others lie below it", Shown(path));
  node->is_leaf = true;
  return "";
}

}  // namespace

bool IsEmptyLeaf(const OrbaxLeaf& leaf) {
  return leaf.skip_deserialize ||
         std::find(kEmptyTypes.begin(), kEmptyTypes.end(), leaf.value_type) != kEmptyTypes.end();
}

std::string OrbaxParamName(std::span<const OrbaxKey> path) { return Join(path, '.'); }
std::string OrbaxTensorName(std::span<const OrbaxKey> path) { return Join(path, '/'); }

Result<void> CheckOrbaxTree(std::span<const OrbaxLeaf> leaves) {
  std::vector<std::string> defects;
  std::map<std::string, std::string> names;  // joined name -> the path that has it
  Node root;
  for (const OrbaxLeaf& leaf : leaves) {
    std::string defect = PathDefect(leaf.path);
    if (defect.empty()) defect = Insert(root, leaf.path);
    if (defect.empty()) {
      const auto [at, is_new] =
          names.try_emplace(OrbaxParamName(leaf.path), OrbaxTensorName(leaf.path));
      if (!is_new)
        defect = fmt::format("{} and {} would both be stored as {}", Shown(leaf.path),
                             Excerpt(at->second), Excerpt(at->first));
    }
    if (!defect.empty()) defects.push_back(std::move(defect));
  }
  CollectShapeDefects(root, "", defects);
  if (defects.empty()) return {};
  Error error{Code::kBadInput,
              fmt::format("{} leaves cannot be stored in an Orbax checkpoint", defects.size()),
              {},
              {},
              "rename these tensors"};
  for (size_t i = 0; i < defects.size() && i < kShownDefects; ++i)
    error.details.push_back(defects[i]);
  if (defects.size() > kShownDefects)
    error.details.push_back(fmt::format("and {} more", defects.size() - kShownDefects));
  return Fail(std::move(error));
}

}  // namespace ckpt
