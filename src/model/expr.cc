#include "model/expr.h"

#include <fmt/format.h>

#include <array>
#include <charconv>

namespace ckpt {
namespace {

constexpr int kMaxNesting = 32;  // of parentheses: tables come from users

bool IsNameStart(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool IsDigit(char c) { return c >= '0' && c <= '9'; }

}  // namespace

std::optional<uint64_t> Scope::Find(const std::string& name) const {
  if (name == "l" && layer) return layer;
  if (!part_axis.empty() && name == part_axis) return part;
  const auto found = dims.find(name);
  if (found == dims.end()) return std::nullopt;
  return found->second;
}

class ExprParser {
 public:
  explicit ExprParser(std::string_view text) : text_(text) { expr_.text_ = std::string(text); }

  Result<Expr> Run() {
    CKPT_TRY_VOID(Comparison());
    SkipSpace();
    if (at_ != text_.size()) return Wrong("an operator or the end");
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
    SkipSpace();
    for (const Spelling& spelling : spellings) {
      if (!text_.substr(at_).starts_with(spelling.text)) continue;
      at_ += spelling.text.size();
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
      const std::optional<char> sign = Accept("+-");
      if (!sign) return {};
      CKPT_TRY_VOID(Product());
      expr_.steps_.push_back({*sign == '+' ? Op::kAdd : Op::kSubtract, 0, {}});
    }
  }

  Result<void> Product() {
    CKPT_TRY_VOID(Atom());
    for (;;) {
      const std::optional<char> sign = Accept("*/%");
      if (!sign) return {};
      CKPT_TRY_VOID(Atom());
      const Op op = *sign == '*' ? Op::kMultiply : *sign == '/' ? Op::kDivide : Op::kRemainder;
      expr_.steps_.push_back({op, 0, {}});
    }
  }

  Result<void> Atom() {
    SkipSpace();
    if (at_ == text_.size()) return Wrong("a number, a name or (");
    const char c = text_[at_];
    if (IsDigit(c)) return Number();
    if (IsNameStart(c)) return Name();
    if (!Accept("(")) return Wrong("a number, a name or (");
    if (++nesting_ > kMaxNesting) return Wrong(fmt::format("at most {} parentheses", kMaxNesting));
    // A comparison inside parentheses swaps whole programs, so it gets one of its own.
    std::vector<Expr::Step> outer = std::move(expr_.steps_);
    expr_.steps_.clear();
    CKPT_TRY_VOID(Comparison());
    outer.insert(outer.end(), expr_.steps_.begin(), expr_.steps_.end());
    expr_.steps_ = std::move(outer);
    --nesting_;
    if (!Accept(")")) return Wrong(")");
    return {};
  }

  Result<void> Number() {
    int64_t value = 0;
    const char* const begin = text_.data() + at_;
    const auto [end, error] = std::from_chars(begin, text_.data() + text_.size(), value);
    if (error != std::errc()) return Wrong("a number below 2^63");
    at_ += static_cast<size_t>(end - begin);
    expr_.steps_.push_back({Op::kNumber, value, {}});
    return {};
  }

  Result<void> Name() {
    const size_t begin = at_;
    while (at_ < text_.size() && (IsNameStart(text_[at_]) || IsDigit(text_[at_]))) ++at_;
    expr_.steps_.push_back({Op::kName, 0, std::string(text_.substr(begin, at_ - begin))});
    return {};
  }

  void SkipSpace() {
    while (at_ < text_.size() && text_[at_] == ' ') ++at_;
  }

  std::optional<char> Accept(std::string_view any_of) {
    SkipSpace();
    if (at_ == text_.size() || any_of.find(text_[at_]) == std::string_view::npos) {
      return std::nullopt;
    }
    return text_[at_++];
  }

  tl::unexpected<Error> Wrong(std::string_view expected) const {
    return Fail(
        Code::kBadInput,
        fmt::format("expression \"{}\": {} expected at column {}", text_, expected, at_ + 1),
        "expressions know numbers, dimension names, + - * / % ( ) and one comparison");
  }

  std::string_view text_;
  size_t at_ = 0;
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
