#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "base/result.h"
#include "format/ocdbt/manifest.h"
#include "format/ocdbt/node.h"

namespace ckpt {

/// One key and its value.
struct OcdbtEntry {
  std::string key;
  std::variant<std::string, OcdbtRange> value;  ///< inline bytes, or where they lie
};

/// Builds a database's tree from its entries in order of keys, as a stream: memory is that of the
/// open nodes (one leaf and the interior levels above it, each at most max_decoded_node_bytes),
/// never of all entries. Nodes are filled up to an estimate of their decoded size (a leaf's entry:
/// 16 + key + inline bytes, or 32 + key + path; a child: 96 + key); a node leaves out the prefix
/// that all its keys share; the root is stored in full. Interior nodes have two children or more.
class OcdbtTreeBuilder {
 public:
  using Append = std::function<Result<void>(std::span<const std::byte>)>;

  /// `data_files`: paths below the database's folder, in any order, that OcdbtRange::file indexes;
  /// `node_file`: where `append` writes the nodes, back to back from its first byte on.
  OcdbtTreeBuilder(std::vector<std::string> data_files, std::string node_file, OcdbtConfig config,
                   Append append);
  OcdbtTreeBuilder(const OcdbtTreeBuilder&) = delete;
  OcdbtTreeBuilder& operator=(const OcdbtTreeBuilder&) = delete;
  ~OcdbtTreeBuilder();

  /// Keys strictly increase (bytewise). Errors: kInternal for an entry that cannot be stored; those
  /// of `append`.
  Result<void> Add(OcdbtEntry entry);

  /// Last call: writes what is open, the root last. The manifest's bytes: one version, generation
  /// 1, commit time 1 ns. Without entries nothing is written.
  Result<std::string> Finish();

 private:
  struct Level;
  struct Child;
  Result<Child> WriteLeaf(bool is_root);
  Result<void> AddChild(size_t level, Child child);
  Result<Child> WriteGroup(size_t level, const std::vector<Child>& group, bool is_root);
  Result<OcdbtRange> Write(const std::string& node);
  uint64_t LeafCost(const OcdbtEntry& entry) const;

  std::vector<OcdbtFile> files_;  // the data files, then the node file
  const OcdbtConfig config_;
  Append append_;
  std::vector<OcdbtEntry> leaf_;  // never empty after the first Add
  uint64_t leaf_cost_ = 0;
  std::vector<Level> levels_;  // levels_[0] holds nodes of height 1
  uint64_t written_bytes_ = 0;
};

}  // namespace ckpt
