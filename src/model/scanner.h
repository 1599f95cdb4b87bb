#pragma once

#include <charconv>
#include <cstddef>
#include <optional>
#include <string_view>
#include <system_error>

namespace ckpt {

/// What the parsers of the table's two expression languages (expr.h, value_expr.h) read their text
/// with: one token after another off its front. Refers to the text, which must outlive it.
class Scanner {
 public:
  static constexpr int kMaxNesting = 32;  ///< of parentheses: tables come from users

  explicit Scanner(std::string_view text) : text_(text) {}

  std::string_view text() const { return text_; }
  size_t column() const { return at_ + 1; }  ///< of what comes next
  std::string_view rest() const { return text_.substr(at_); }

  void SkipSpace() {
    while (at_ < text_.size() && text_[at_] == ' ') ++at_;
  }
  /// The next character without taking it; 0 at the end.
  char Peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  void Skip(size_t characters) { at_ += characters; }

  /// Takes the next character, spaces before it apart, if it is one of these.
  std::optional<char> Accept(std::string_view any_of) {
    SkipSpace();
    if (rest().empty() || any_of.find(Peek()) == std::string_view::npos) return std::nullopt;
    return text_[at_++];
  }
  /// Takes letters and digits, as many as there are.
  std::string_view Word() {
    const size_t begin = at_;
    while (IsLetter(Peek()) || IsDigit(Peek())) ++at_;
    return text_.substr(begin, at_ - begin);
  }
  /// Takes a number; nothing, and nothing taken, where none stands there or it is too large.
  template <class T>
  std::optional<T> Number() {
    T value = 0;
    const char* const begin = rest().data();
    const auto [end, error] = std::from_chars(begin, begin + rest().size(), value);
    if (error != std::errc()) return std::nullopt;
    at_ += static_cast<size_t>(end - begin);
    return value;
  }

  static bool IsLetter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
  }
  static bool IsDigit(char c) { return c >= '0' && c <= '9'; }

 private:
  std::string_view text_;
  size_t at_ = 0;
};

}  // namespace ckpt
