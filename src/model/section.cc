#include "model/section.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"

namespace ckpt {
namespace {
using Kind = TomlNode::Kind;
constexpr size_t kMostNames = 20;  // in a message
}  // namespace

std::string Section::Key(std::string_view key) const {
  return path_.empty() ? std::string(key) : fmt::format("{}.{}", path_, key);
}

void Section::Fault(std::string_view key, std::string what, std::string remedy) const {
  const TomlNode* const node = table_->Find(key);
  faults_->Add(node == nullptr ? line() : node->line, Key(key), std::move(what), std::move(remedy));
}

void Section::Fault(std::string_view key, const Error& error) const {
  Fault(key, error.what, error.remedy);
}

std::string Section::Text(std::string_view key, bool is_required) {
  const TomlNode* const node = Take(key, is_required);
  if (node == nullptr) return {};
  if (node->kind != Kind::kText) Fault(key, "a text is expected");
  return node->text;
}

bool Section::Bool(std::string_view key) {
  const TomlNode* const node = Take(key, false);
  if (node == nullptr) return false;
  if (node->kind != Kind::kBool) Fault(key, "true or false is expected");
  return node->flag;
}

std::optional<int64_t> Section::Integer(std::string_view key, bool is_required) {
  const TomlNode* const node = Take(key, is_required);
  if (node == nullptr) return std::nullopt;
  if (node->kind == Kind::kInteger) return node->integer;
  Fault(key, "an integer is expected");
  return std::nullopt;
}

std::vector<std::string> Section::Texts(std::string_view key, bool is_required) {
  const TomlNode* const node = Take(key, is_required);
  if (node == nullptr) return {};
  if (node->kind == Kind::kText) return {node->text};
  std::vector<std::string> texts;
  for (const TomlNode& element : node->children) {
    if (node->kind == Kind::kList && element.kind == Kind::kText) texts.push_back(element.text);
  }
  if (texts.size() == node->children.size() && !texts.empty()) return texts;
  Fault(key, "a text, or a list of texts, is expected");
  return {};
}

std::optional<Expr> Section::Expression(std::string_view key) {
  if (!Has(key)) return std::nullopt;
  const std::string text = Text(key);
  Result<Expr> expr = Expr::Parse(text);
  if (expr) return *std::move(expr);
  Fault(key, expr.error());
  return std::nullopt;
}

Section Section::Inner(std::string_view key, bool is_required) {
  static const TomlNode empty = {.kind = Kind::kTable};
  const TomlNode* const node = Take(key, is_required);
  if (node != nullptr && node->kind == Kind::kTable) return {*node, Key(key), *faults_};
  if (node != nullptr) Fault(key, "a table is expected");
  return {empty, Key(key), *faults_};
}

std::vector<Section> Section::Tables(std::string_view key, bool or_single) {
  std::vector<Section> tables;
  const TomlNode* const node = Take(key, false);
  if (node == nullptr) return tables;
  if (node->kind == Kind::kTable && or_single) {
    tables.emplace_back(*node, Key(key), *faults_);
    return tables;
  }
  const auto is_table = [](const TomlNode& element) { return element.kind == Kind::kTable; };
  if (node->kind != Kind::kList || node->children.empty() ||
      !std::all_of(node->children.begin(), node->children.end(), is_table)) {
    Fault(key,
          or_single ? "a table, or a list of tables, is expected" : "a list of tables is expected");
    return tables;
  }
  for (size_t i = 0; i < node->children.size(); ++i) {
    tables.emplace_back(node->children[i], fmt::format("{}[{}]", Key(key), i), *faults_);
  }
  return tables;
}

std::map<std::string, std::string> Section::AllTexts() {
  std::map<std::string, std::string> texts;
  for (const std::string& key : Keys()) texts[key] = Text(key);
  return texts;
}

const TomlNode* Section::Take(std::string_view key, bool is_required) {
  asked_.insert(std::string(key));
  const TomlNode* const node = table_->Find(key);
  if (node == nullptr && is_required) faults_->Add(line(), Key(key), "this key is missing");
  return node;
}

void Section::Finish() const {
  const std::vector<std::string> known(asked_.begin(), asked_.end());
  for (const std::string& key : Keys()) {
    if (asked_.contains(key)) continue;
    const std::string near = Nearest(key, known);
    Fault(key, "unknown key",
          near.empty() ? "keys here: " + ListSome(known, kMostNames)
                       : fmt::format("did you mean {}?", near));
  }
}

}  // namespace ckpt
