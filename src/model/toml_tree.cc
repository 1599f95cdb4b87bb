#include "model/toml_tree.h"

#include <algorithm>
#include <utility>

// No exceptions: a syntax error comes back as a value.
#define TOML_EXCEPTIONS 0
#include <toml++/toml.h>

namespace ckpt {
namespace {

using Kind = TomlNode::Kind;

// Nesting is bounded by the parser (toml++ refuses more than 256 levels).
TomlNode Convert(const toml::node& node) {
  TomlNode out;
  out.line = static_cast<uint32_t>(node.source().begin.line);
  if (const auto flag = node.value_exact<bool>()) {
    out.kind = Kind::kBool;
    out.flag = *flag;
  } else if (const auto integer = node.value_exact<int64_t>()) {
    out.kind = Kind::kInteger;
    out.integer = *integer;
  } else if (const auto text = node.value_exact<std::string>()) {
    out.kind = Kind::kText;
    out.text = *text;
  } else if (const toml::array* const list = node.as_array()) {
    out.kind = Kind::kList;
    for (const toml::node& element : *list) out.children.push_back(Convert(element));
  } else if (const toml::table* const table = node.as_table()) {
    out.kind = Kind::kTable;
    struct Entry {
      toml::source_position begin;
      std::string key;
      const toml::node* value;
    };
    std::vector<Entry> entries;
    for (const auto& [key, value] : *table) {
      entries.push_back({key.source().begin, std::string(key.str()), &value});
    }
    std::sort(entries.begin(), entries.end(),
              [](const Entry& a, const Entry& b) { return a.begin < b.begin; });
    for (Entry& entry : entries) {
      out.keys.push_back(std::move(entry.key));
      out.children.push_back(Convert(*entry.value));
    }
  }
  return out;
}

}  // namespace

const TomlNode* TomlNode::Find(std::string_view key) const {
  const auto found = std::find(keys.begin(), keys.end(), key);
  return found == keys.end() ? nullptr : &children[static_cast<size_t>(found - keys.begin())];
}

TomlNode ParseToml(std::string_view text, const std::string& file, TableFaults& faults) {
  const toml::parse_result parsed = toml::parse(text, file);
  if (parsed) return Convert(parsed.table());
  faults.Add(static_cast<uint32_t>(parsed.error().source().begin.line), "(syntax)",
             std::string(parsed.error().description()), "this is not TOML 1.0");
  return {};
}

}  // namespace ckpt
