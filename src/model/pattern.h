#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "model/expr.h"

namespace ckpt {

/// A tensor name with expressions in braces: "model.layers.{l}.mlp.up_proj.weight", "layers_{l %
/// 6}".
class NamePattern {
 public:
  /// kBadInput for an unclosed brace, a bad expression, or a digit or brace right after a slot (the
  /// number's end would be unclear).
  static Result<NamePattern> Parse(std::string_view text);

  Result<std::string> Render(const Scope& scope) const;

  /// What a name says of the pattern.
  struct Match {
    std::optional<uint64_t>
        layer;  ///< the number in a plain "{l}"; nothing where the pattern has none
  };
  /// Nothing where the name has another form. Slots stand for numbers without leading zeros; a slot
  /// with arithmetic matches any number.
  std::optional<Match> MatchName(std::string_view name) const;

  bool HasSlots() const { return !slots_.empty(); }
  bool HasPlainLayer() const;  ///< "{l}", from which the layers present can be counted
  const std::string& text() const { return text_; }
  const std::vector<Expr>& slots() const { return slots_; }

 private:
  std::string text_;
  std::vector<std::string> literals_;  // one more than slots: literal, slot, literal, ..., literal
  std::vector<Expr> slots_;
};

/// `pattern` with "*" for any characters, none included.
bool MatchesGlob(std::string_view pattern, std::string_view name);

}  // namespace ckpt
