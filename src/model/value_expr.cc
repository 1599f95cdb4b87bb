#include "model/value_expr.h"

#include <fmt/format.h>

#include <cmath>

#include "base/float.h"
#include "model/scanner.h"

namespace ckpt {
namespace {

DType Wider(DType a, DType b) {
  return a == DType::kF32 || b == DType::kF32 ? DType::kF32 : DType::kBF16;
}

float RoundTo(DType type, double x) {
  const auto narrow = static_cast<float>(x);
  return type == DType::kBF16 ? ToF32(ToBF16(narrow)) : narrow;
}

}  // namespace

class ValueParser {
 public:
  explicit ValueParser(std::string_view text) : scan_(text) {}

  Result<ValueExpr> Run() {
    CKPT_TRY(Part part, Sum());
    scan_.SkipSpace();
    if (!scan_.rest().empty()) return Wrong("an operator or the end is expected");
    if (!part.has_value) return Wrong("the value x does not stand in it");
    ValueExpr expr;
    expr.text_ = std::string(scan_.text());
    expr.steps_ = std::move(part.steps);
    return expr;
  }

 private:
  using Op = ValueExpr::Op;
  using Kind = ValueStep::Kind;

  /// What a part of the expression is: the value with steps done to it, or a constant.
  struct Part {
    bool has_value = false;
    std::optional<DType> type;  // of the last cast, or what followed from it
    std::vector<ValueExpr::Step> steps;
    ValueExpr::Constant constant;
  };

  Result<Part> Sum() {
    CKPT_TRY(Part left, Product());
    while (const std::optional<char> sign = scan_.Accept("+-")) {
      CKPT_TRY(Part right, Product());
      CKPT_TRY(left,
               Join(*sign == '+' ? Op::kAdd : Op::kSubtract, std::move(left), std::move(right)));
    }
    return left;
  }

  Result<Part> Product() {
    CKPT_TRY(Part left, Atom());
    while (const std::optional<char> sign = scan_.Accept("*/")) {
      CKPT_TRY(Part right, Atom());
      CKPT_TRY(left,
               Join(*sign == '*' ? Op::kMultiply : Op::kDivide, std::move(left), std::move(right)));
    }
    return left;
  }

  Result<Part> Join(Op op, Part left, Part right) const {
    if (left.has_value && right.has_value) return Wrong("the value x stands in it twice");
    if (!left.has_value && !right.has_value) return JoinConstants(op, std::move(left), right);
    if (op == Op::kDivide) {
      return Wrong(left.has_value
                       ? "a value is divided: multiply it by 1 / constant, whose rounding "
                         "is part of the formula"
                       : "the value x is a divisor");
    }
    if (op == Op::kSubtract && right.has_value) return Wrong("the value x is subtracted");
    Part& value = left.has_value ? left : right;
    Part& constant = left.has_value ? right : left;
    if (!value.type) return Wrong("the value is used before a cast: write bf16(x) or f32(x)");
    ValueExpr::Step step;
    step.kind = op == Op::kMultiply ? Kind::kMultiply : Kind::kAdd;
    step.type = constant.type ? Wider(*constant.type, *value.type) : *value.type;
    if (op == Op::kSubtract) {
      step.operand.push_back({Op::kNumber, 0});
      step.operand.insert(step.operand.end(), constant.constant.begin(), constant.constant.end());
      step.operand.push_back({Op::kSubtract});
    } else {
      step.operand = std::move(constant.constant);
    }
    value.type = step.type;
    value.steps.push_back(std::move(step));
    return std::move(value);
  }

  static Part JoinConstants(Op op, Part left, const Part& right) {
    left.constant.insert(left.constant.end(), right.constant.begin(), right.constant.end());
    left.constant.push_back({op});
    left.type.reset();  // casts inside round what they enclose, and no more
    return left;
  }

  Result<Part> Atom() {
    scan_.SkipSpace();
    if (Scanner::IsDigit(scan_.Peek()) || scan_.Peek() == '.') return Number();
    if (Scanner::IsLetter(scan_.Peek())) return Word();
    if (!scan_.Accept("(")) return Wrong("a number, a name or ( is expected");
    return Inside();
  }

  /// What follows an opening parenthesis.
  Result<Part> Inside() {
    if (++nesting_ > Scanner::kMaxNesting) return Wrong("parentheses are nested too deep");
    CKPT_TRY(Part part, Sum());
    --nesting_;
    if (!scan_.Accept(")")) return Wrong(") is expected");
    return part;
  }

  Result<Part> Number() {
    const std::optional<double> value = scan_.Number<double>();
    if (!value) return Wrong("a number is expected");
    Part part;
    part.constant.push_back({Op::kNumber, *value});
    return part;
  }

  Result<Part> Word() {
    const std::string_view word = scan_.Word();
    Part part;
    if (word == "x") {
      part.has_value = true;
      return part;
    }
    const bool is_cast = word == "bf16" || word == "f32";
    if (!is_cast && word != "sqrt") {
      part.constant.push_back({Op::kName, 0, std::string(word)});
      return part;
    }
    if (!scan_.Accept("(")) return Wrong(fmt::format("( is expected after {}", word));
    CKPT_TRY(part, Inside());
    if (is_cast) return Cast(word == "bf16" ? DType::kBF16 : DType::kF32, std::move(part));
    if (part.has_value) return Wrong("the value x has no square root here");
    part.constant.push_back({Op::kSqrt});
    return part;
  }

  static Part Cast(DType type, Part part) {
    if (!part.has_value) {
      part.constant.push_back({type == DType::kBF16 ? Op::kBF16 : Op::kF32});
    } else if (!part.type || (*part.type == DType::kF32 && type == DType::kBF16)) {
      part.steps.push_back({Kind::kCast, type});
    }  // a wider type changes no value
    part.type = type;
    return part;
  }

  tl::unexpected<Error> Wrong(std::string_view what) const {
    return Fail(
        Code::kBadInput,
        fmt::format("value \"{}\", column {}: {}", scan_.text(), scan_.column(), what),
        "write it as bf16(f32(bf16(x)) * f32(1 / sqrt(d))): one x, casts, + - * /, sqrt and "
        "dimensions");
  }

  Scanner scan_;
  int nesting_ = 0;
};

Result<ValueExpr> ValueExpr::Parse(std::string_view text) { return ValueParser(text).Run(); }

Result<double> ValueExpr::Apply(Op op, double a, double b) {
  switch (op) {
    case Op::kAdd:
      return a + b;
    case Op::kSubtract:
      return a - b;
    case Op::kMultiply:
      return a * b;
    case Op::kDivide:
      return a / b;
    default:
      return Fail(Code::kInternal, "no operation of two numbers");
  }
}

Result<double> ValueExpr::Compute(const Constant& constant, const Scope& scope, bool is_rounded) {
  std::vector<double> stack;
  for (const Term& term : constant) {
    if (term.op == Op::kNumber) {
      stack.push_back(term.number);
    } else if (term.op == Op::kName) {
      const std::optional<uint64_t> value = scope.Find(term.name);
      if (!value) return Fail(Code::kBadInput, fmt::format("{} has no value here", term.name));
      stack.push_back(static_cast<double>(*value));
    } else if (term.op == Op::kSqrt) {
      stack.back() = std::sqrt(stack.back());
    } else if (term.op == Op::kBF16 || term.op == Op::kF32) {
      const DType type = term.op == Op::kBF16 ? DType::kBF16 : DType::kF32;
      if (is_rounded) stack.back() = static_cast<double>(RoundTo(type, stack.back()));
    } else {
      const double b = stack.back();
      stack.pop_back();
      CKPT_TRY(stack.back(), Apply(term.op, stack.back(), b));
    }
  }
  return stack.back();
}

Result<ValueProgram> ValueExpr::Evaluate(const Scope& scope) const {
  ValueProgram program;
  for (const Step& step : steps_) {
    ValueStep out;
    out.kind = step.kind;
    out.type = step.type;
    if (step.kind != ValueStep::Kind::kCast) {
      CKPT_TRY(const double rounded, Compute(step.operand, scope, true));
      CKPT_TRY(out.exact, Compute(step.operand, scope, false));
      out.operand = RoundTo(step.type, rounded);
      const bool is_factor = step.kind == ValueStep::Kind::kMultiply;
      if (!std::isfinite(out.operand) || (is_factor && out.operand == 0)) {
        return Fail(Code::kBadInput,
                    fmt::format("value \"{}\": a constant is {}", text_, out.operand),
                    "a factor is finite and not 0, a summand finite");
      }
    }
    program.push_back(out);
  }
  return program;
}

std::vector<std::string> ValueExpr::Names() const {
  std::vector<std::string> names;
  for (const Step& step : steps_) {
    for (const Term& term : step.operand) {
      if (term.op == Op::kName) names.push_back(term.name);
    }
  }
  return names;
}

}  // namespace ckpt
