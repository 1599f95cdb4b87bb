#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "model/expr.h"
#include "model/value.h"

namespace ckpt {

/// The arithmetic of a cell, from a role's values to the stored ones:
/// "bf16(f32(bf16(x)) * f32(1 / sqrt(d)))".
///   sum     = product { ("+" | "-") product }
///   product = atom { ("*" | "/") atom }
///   atom    = number | name | "x" | ("bf16" | "f32" | "sqrt") "(" sum ")" | "(" sum ")"
/// x is the value and stands exactly once, cast before anything is done with it; names are
/// dimensions. What stands without x is a constant: computed in double, rounded where a cast
/// encloses it, and without a cast around it to the type of the value that it meets (as JAX takes a
/// Python number). A value and a constant of two types give the wider one.
class ValueExpr {
 public:
  /// kBadInput with the column of what is wrong.
  static Result<ValueExpr> Parse(std::string_view text);

  /// The program for these dimensions. kBadInput for a constant that is no finite number, or a
  /// factor of 0.
  Result<ValueProgram> Evaluate(const Scope& scope) const;

  const std::string& text() const { return text_; }
  std::vector<std::string> Names() const;  ///< of dimensions, in order of appearance

 private:
  friend class ValueParser;
  enum class Op : uint8_t {
    kNumber,
    kName,
    kAdd,
    kSubtract,
    kMultiply,
    kDivide,
    kSqrt,
    kBF16,
    kF32
  };
  /// A step of the stack machine that computes one constant.
  struct Term {
    Op op = Op::kNumber;
    double number = 0;
    std::string name = {};
  };
  using Constant = std::vector<Term>;
  struct Step {
    ValueStep::Kind kind = ValueStep::Kind::kCast;
    DType type = DType::kF32;
    Constant operand = {};
  };
  static Result<double> Compute(const Constant& constant, const Scope& scope, bool is_rounded);
  static Result<double> Apply(Op op, double a, double b);

  std::string text_;
  std::vector<Step> steps_;
};

}  // namespace ckpt
