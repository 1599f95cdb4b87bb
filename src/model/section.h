#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "model/expr.h"
#include "model/faults.h"
#include "model/toml_tree.h"

namespace ckpt {

/// One table of a family file, read key by key; keys that nobody asked for are faults, and so is
/// every value of another kind than asked for (the call then returns an empty one). Refers to the
/// node and the faults, which must outlive it.
class Section {
 public:
  Section(const TomlNode& table, std::string path, TableFaults& faults)
      : table_(&table), path_(std::move(path)), faults_(&faults) {}

  uint32_t line() const { return table_->line; }
  std::string Key(std::string_view key) const;
  /// Counts as asking for the key.
  bool Has(std::string_view key) { return Take(key, false) != nullptr; }
  void Fault(std::string_view key, std::string what, std::string remedy = {}) const;
  void Fault(std::string_view key, const Error& error) const;

  std::string Text(std::string_view key, bool is_required = false);
  bool Bool(std::string_view key);
  std::optional<int64_t> Integer(std::string_view key, bool is_required = false);
  /// One text, or a list of them.
  std::vector<std::string> Texts(std::string_view key, bool is_required = false);
  std::optional<Expr> Expression(std::string_view key);
  /// The table under `key`; an empty one, with a fault, where something else stands there.
  Section Inner(std::string_view key, bool is_required = false);
  /// The tables of an array of tables (or a single one where `or_single`).
  std::vector<Section> Tables(std::string_view key, bool or_single = false);
  /// Every key of the section with its text.
  std::map<std::string, std::string> AllTexts();
  /// The value itself, for keys that take several kinds; nullptr where it is absent.
  const TomlNode* Take(std::string_view key, bool is_required);
  /// All keys in the order of the file.
  const std::vector<std::string>& Keys() const { return table_->keys; }
  /// Last call: keys that were never asked for.
  void Finish() const;

 private:
  const TomlNode* table_;
  std::string path_;
  TableFaults* faults_;
  std::set<std::string> asked_;
};

}  // namespace ckpt
