#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace ckpt {

using Dims = std::map<std::string, uint64_t>;  ///< {"e": 4096, "h": 32, "L": 32, ...}

/// What the names of an expression mean. Refers to `dims`, which must outlive it.
struct Scope {
  const Dims& dims;
  std::optional<uint64_t> layer;  ///< the value of `l`
  /// Inside the name of one of several tensors of a role: the axis that numbers them means the
  /// number there, not its extent.
  std::string_view part_axis = {};
  uint64_t part = 0;

  std::optional<uint64_t> Find(const std::string& name) const;
};

enum class Division : uint8_t {
  kFloor,  ///< "l / 6": towards zero
  kExact,  ///< "e / h": a remainder is an error, for a dimension is never a fraction
};

/// An integer expression of a family table: "e / h", "(h + 2*k) * d", "l < L - L % 6".
///   comparison = sum [ ("<" | "<=" | ">" | ">=" | "==" | "!=") sum ]      1 if it holds, else 0
///   sum        = product { ("+" | "-") product }
///   product    = atom { ("*" | "/" | "%") atom }
///   atom       = number | name | "(" comparison ")"
/// 64 bits, signed; nothing wraps.
class Expr {
 public:
  /// kBadInput with the column of what is wrong.
  static Result<Expr> Parse(std::string_view text);

  /// kBadInput for an unknown name, an overflow, a division by 0, or a remainder under kExact.
  Result<int64_t> Evaluate(const Scope& scope, Division division = Division::kFloor) const;
  /// As Evaluate, but a negative value is an error too.
  Result<uint64_t> EvaluateUnsigned(const Scope& scope, Division division = Division::kFloor) const;

  const std::string& text() const { return text_; }
  std::vector<std::string> Names() const;  ///< in order of appearance, repeats included

 private:
  friend class ExprParser;
  enum class Op : uint8_t {
    kNumber,
    kName,
    kAdd,
    kSubtract,
    kMultiply,
    kDivide,
    kRemainder,
    kLess,
    kLessEqual,
    kEqual,
    kNotEqual
  };
  struct Step {  // of a stack machine: values copy freely, and no recursion is left for evaluation
    Op op = Op::kNumber;
    int64_t number = 0;
    std::string name;
  };
  static Result<int64_t> Apply(Op op, int64_t a, int64_t b, Division division);

  std::string text_;
  std::vector<Step> steps_;
};

}  // namespace ckpt
