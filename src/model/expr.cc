#include "model/expr.h"

#include <fmt/format.h>

#include <array>

#include "model/scanner.h"

namespace ckpt {

std::optional<uint64_t> Scope::Find(const std::string& name) const {
  if (name == "l" && layer) return layer;
  if (!part_axis.empty() && name == part_axis) return part;
  const auto found = dims.find(name);
  if (found == dims.end()) return std::nullopt;
  return found->second;
}

class ExprParser {
 public:
  explicit ExprParser(std::string_view text) : scan_(text) { expr_.text_ = std::string(text); }

  Result<Expr> Run() {
    CKPT_TRY_VOID(Comparison());
    scan_.SkipSpace();
    if (!scan_.rest().empty()) return Wrong("an operator or the end");
    return std::move(expr_);
  }

 private:
  using Op = Expr::Op;

  Result<void> Comparison() {
    CKPT_TRY_VOID(Sum());
    struct Spelling {
      std::string_view text;
      Op op;
      bool is_swapped;  // a > b is b < a; the stack machine knows only the second
    };
    static constexpr std::array<Spelling, 6> spellings = {{{"<=", Op::kLessEqual, false},
                                                           {">=", Op::kLessEqual, true},
                                                           {"==", Op::kEqual, false},
                                                           {"!=", Op::kNotEqual, false},
                                                           {"<", Op::kLess, false},
                                                           {">", Op::kLess, true}}};
    scan_.SkipSpace();
    for (const Spelling& spelling : spellings) {
      if (!scan_.rest().starts_with(spelling.text)) continue;
      scan_.Skip(spelling.text.size());
      const std::vector<Expr::Step> left = std::move(expr_.steps_);
      expr_.steps_.clear();
      CKPT_TRY_VOID(Sum());
      // The left side was complete, so both orders of the two programs are programs.
      auto& right = expr_.steps_;
      right.insert(spelling.is_swapped ? right.end() : right.begin(), left.begin(), left.end());
      right.push_back({spelling.op, 0, {}});
      return {};
    }
    return {};
  }

  Result<void> Sum() {
    CKPT_TRY_VOID(Product());
    for (;;) {
      const std::optional<char> sign = scan_.Accept("+-");
      if (!sign) return {};
      CKPT_TRY_VOID(Product());
      expr_.steps_.push_back({*sign == '+' ? Op::kAdd : Op::kSubtract, 0, {}});
    }
  }

  Result<void> Product() {
    CKPT_TRY_VOID(Atom());
    for (;;) {
      const std::optional<char> sign = scan_.Accept("*/%");
      if (!sign) return {};
      CKPT_TRY_VOID(Atom());
      const Op op = *sign == '*' ? Op::kMultiply : *sign == '/' ? Op::kDivide : Op::kRemainder;
      expr_.steps_.push_back({op, 0, {}});
    }
  }

  Result<void> Atom() {
    scan_.SkipSpace();
    if (Scanner::IsDigit(scan_.Peek())) return Number();
    if (Scanner::IsLetter(scan_.Peek())) {
      expr_.steps_.push_back({Op::kName, 0, std::string(scan_.Word())});
      return {};
    }
    if (!scan_.Accept("(")) return Wrong("a number, a name or (");
    if (++nesting_ > Scanner::kMaxNesting) {
      return Wrong(fmt::format("at most {} parentheses", Scanner::kMaxNesting));
    }
    // A comparison inside parentheses swaps whole programs, so it gets one of its own.
    std::vector<Expr::Step> outer = std::move(expr_.steps_);
    expr_.steps_.clear();
    CKPT_TRY_VOID(Comparison());
    outer.insert(outer.end(), expr_.steps_.begin(), expr_.steps_.end());
    expr_.steps_ = std::move(outer);
    --nesting_;
    if (!scan_.Accept(")")) return Wrong(")");
    return {};
  }

  Result<void> Number() {
    const std::optional<int64_t> value = scan_.Number<int64_t>();
    if (!value) return Wrong("a number below 2^63");
    expr_.steps_.push_back({Op::kNumber, *value, {}});
    return {};
  }

  tl::unexpected<Error> Wrong(std::string_view expected) const {
    return Fail(Code::kBadInput,
                fmt::format("expression \"{}\": {} expected at column {}", scan_.text(), expected,
                            scan_.column()),
                "expressions know numbers, dimension names, + - * / % ( ) and one comparison");
  }

  Scanner scan_;
  int nesting_ = 0;
  Expr expr_;
};

Result<Expr> Expr::Parse(std::string_view text) { return ExprParser(text).Run(); }

Result<int64_t> Expr::Apply(Op op, int64_t a, int64_t b, Division division) {
  int64_t result = 0;
  switch (op) {
    case Op::kAdd:
      if (!__builtin_add_overflow(a, b, &result)) return result;
      break;
    case Op::kSubtract:
      if (!__builtin_sub_overflow(a, b, &result)) return result;
      break;
    case Op::kMultiply:
      if (!__builtin_mul_overflow(a, b, &result)) return result;
      break;
    case Op::kDivide:
    case Op::kRemainder:
      if (b <= 0) return Fail(Code::kBadInput, fmt::format("division of {} by {}", a, b));
      if (op == Op::kRemainder) return a % b;
      if (division == Division::kExact && a % b != 0) {
        return Fail(Code::kBadInput, fmt::format("{} / {} is not whole", a, b));
      }
      return a / b;
    case Op::kLess:
      return a < b ? 1 : 0;
    case Op::kLessEqual:
      return a <= b ? 1 : 0;
    case Op::kEqual:
      return a == b ? 1 : 0;
    case Op::kNotEqual:
      return a != b ? 1 : 0;
    case Op::kNumber:
    case Op::kName:
      break;
  }
  return Fail(Code::kBadInput, fmt::format("{} and {} are too large", a, b));
}

Result<int64_t> Expr::Evaluate(const Scope& scope, Division division) const {
  const auto where = [this](Error error) {
    error.what = fmt::format("\"{}\": {}", text_, error.what);
    return error;
  };
  std::vector<int64_t> stack;
  for (const Step& step : steps_) {
    if (step.op == Op::kNumber) {
      stack.push_back(step.number);
    } else if (step.op == Op::kName) {
      const std::optional<uint64_t> value = scope.Find(step.name);
      if (!value || *value > static_cast<uint64_t>(INT64_MAX)) {
        return Fail(Code::kBadInput, fmt::format("\"{}\": {} has no value here", text_, step.name));
      }
      stack.push_back(static_cast<int64_t>(*value));
    } else {
      const int64_t b = stack.back();
      stack.pop_back();
      CKPT_TRY(stack.back(), Apply(step.op, stack.back(), b, division).map_error(where));
    }
  }
  return stack.back();
}

Result<uint64_t> Expr::EvaluateUnsigned(const Scope& scope, Division division) const {
  CKPT_TRY(const int64_t value, Evaluate(scope, division));
  if (value < 0) return Fail(Code::kBadInput, fmt::format("\"{}\" is negative: {}", text_, value));
  return static_cast<uint64_t>(value);
}

std::vector<std::string> Expr::Names() const {
  std::vector<std::string> names;
  for (const Step& step : steps_) {
    if (step.op == Op::kName) names.push_back(step.name);
  }
  return names;
}

}  // namespace ckpt
