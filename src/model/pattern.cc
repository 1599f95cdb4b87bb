#include "model/pattern.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace ckpt {
namespace {

constexpr size_t kMaxDigits = 9;  // of a number in a name; more is no layer number

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

/// Takes a number without leading zeros off the front.
std::optional<uint64_t> TakeNumber(std::string_view& text) {
  size_t digits = 0;
  while (digits < text.size() && IsDigit(text[digits])) ++digits;
  if (digits == 0 || digits > kMaxDigits || (digits > 1 && text[0] == '0')) return std::nullopt;
  uint64_t value = 0;
  std::from_chars(text.data(), text.data() + digits, value);
  text.remove_prefix(digits);
  return value;
}

}  // namespace

Result<NamePattern> NamePattern::Parse(std::string_view text) {
  NamePattern pattern;
  pattern.text_ = std::string(text);
  const std::string remedy = "write names as \"layers.{l}.norm\": an expression in braces";
  for (;;) {
    const size_t open = std::min(text.find('{'), text.size());
    const std::string_view literal = text.substr(0, open);
    const bool follows_slot = !pattern.slots_.empty();
    if (literal.find('}') != std::string_view::npos) {
      return Fail(Code::kBadInput, fmt::format("name \"{}\": }} without {{", pattern.text_),
                  remedy);
    }
    if (follows_slot && (literal.empty() ? open != text.size() : IsDigit(literal[0]))) {
      return Fail(Code::kBadInput,
                  fmt::format("name \"{}\": two numbers with nothing between them", pattern.text_),
                  remedy);
    }
    pattern.literals_.emplace_back(literal);
    if (open == text.size()) return pattern;
    const size_t close = text.find('}', open);
    if (close == std::string_view::npos) {
      return Fail(Code::kBadInput, fmt::format("name \"{}\": {{ without }}", pattern.text_),
                  remedy);
    }
    CKPT_TRY(Expr slot, Expr::Parse(text.substr(open + 1, close - open - 1)));
    pattern.slots_.push_back(std::move(slot));
    text.remove_prefix(close + 1);
  }
}

Result<std::string> NamePattern::Render(const Scope& scope) const {
  std::string name = literals_[0];
  for (size_t i = 0; i < slots_.size(); ++i) {
    CKPT_TRY(const uint64_t value, slots_[i].EvaluateUnsigned(scope));
    name += std::to_string(value);
    name += literals_[i + 1];
  }
  return name;
}

std::optional<NamePattern::Match> NamePattern::MatchName(std::string_view name) const {
  Match match;
  for (size_t i = 0; i < literals_.size(); ++i) {
    if (!name.starts_with(literals_[i])) return std::nullopt;
    name.remove_prefix(literals_[i].size());
    if (i == slots_.size()) break;
    const std::optional<uint64_t> number = TakeNumber(name);
    if (!number) return std::nullopt;
    if (slots_[i].text() != "l") continue;
    if (match.layer && *match.layer != *number) return std::nullopt;  // "{l}" twice, of two minds
    match.layer = number;
  }
  if (!name.empty()) return std::nullopt;
  return match;
}

bool NamePattern::HasPlainLayer() const {
  return std::any_of(slots_.begin(), slots_.end(),
                     [](const Expr& slot) { return slot.text() == "l"; });
}

bool MatchesGlob(std::string_view pattern, std::string_view name) {
  // Greedy with one point of return: the last star may always swallow one character more.
  size_t p = 0;
  size_t n = 0;
  size_t star = std::string_view::npos;
  size_t star_end = 0;
  while (n < name.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      star_end = n;
    } else if (p < pattern.size() && pattern[p] == name[n]) {
      ++p;
      ++n;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      n = ++star_end;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

}  // namespace ckpt
