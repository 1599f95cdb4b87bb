#include "format/json/json.h"

#include <fmt/format.h>

#include <cstddef>
#include <exception>
#include <iterator>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/text.h"

namespace ckpt::json {
namespace {

constexpr std::string_view kLead = "parse error at ";  // of the library's messages
constexpr std::string_view kRemedy = "the text is damaged: fetch the file again";

// Feeds the library and shows how far it has read: its SAX calls carry no position.
struct CountingIterator {
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  const char* at = nullptr;
  const char** reached = nullptr;

  reference operator*() const { return *at; }
  CountingIterator& operator++() {
    *reached = ++at;
    return *this;
  }
  CountingIterator operator++(int) {
    CountingIterator before = *this;
    ++*this;
    return before;
  }
  bool operator==(const CountingIterator& other) const { return at == other.at; }
};

// The library's SAX interface; the names and signatures are its own.
class Sax {
 public:
  explicit Sax(const Visit& visit) : visit_(visit) {}

  bool null() { return Pass({.kind = Kind::kNull}); }
  bool boolean(bool value) { return Pass({.kind = Kind::kBool, .is_true = value}); }
  bool number_integer(int64_t value) {
    return Pass({.kind = Kind::kNegative, .negative_value = value});
  }
  bool number_unsigned(uint64_t value) {
    return Pass({.kind = Kind::kUnsigned, .unsigned_value = value});
  }
  bool number_float(double value, const std::string& /*token*/) {
    return Pass({.kind = Kind::kFloat, .float_value = value});
  }
  bool string(std::string& value) { return Pass({.kind = Kind::kString, .text = value}); }
  bool binary(nlohmann::json::binary_t& /*value*/) { return false; }
  bool key(std::string& value) { return Pass({.kind = Kind::kKey, .text = value}); }
  bool start_object(size_t /*unknown*/) { return Begin(Kind::kBeginObject); }
  bool end_object() { return End(Kind::kEndObject); }
  bool start_array(size_t /*unknown*/) { return Begin(Kind::kBeginArray); }
  bool end_array() { return End(Kind::kEndArray); }
  bool parse_error(size_t position, const std::string& /*last_token*/,
                   const std::exception& problem) {
    // "[json.exception.parse_error.101] parse error at line 1, column 2: what": ours is what
    // follows "at".
    std::string_view what = problem.what();
    if (const size_t lead = what.find(kLead); lead != std::string_view::npos)
      what.remove_prefix(lead + kLead.size());
    result_ = Fail(Code::kBadInput, fmt::format("not JSON: {}", Excerpt(what, 240)),
                   std::string(kRemedy));
    error_position_ = position == 0 ? 0 : position - 1;
    is_syntax_error_ = true;
    return false;
  }

  Result<void> result_;
  size_t error_position_ = 0;
  bool is_syntax_error_ = false;

 private:
  bool Pass(Token token) {
    token.depth = depth_;
    result_ = visit_(token);
    return result_.has_value();
  }
  bool Begin(Kind kind) {
    if (depth_ == kMaxDepth) {
      result_ =
          Fail(Code::kBadInput, fmt::format("JSON is nested deeper than {} levels", kMaxDepth),
               std::string(kRemedy));
      return false;
    }
    if (!Pass({.kind = kind})) return false;
    ++depth_;
    return true;
  }
  bool End(Kind kind) {
    --depth_;
    return Pass({.kind = kind});
  }

  const Visit& visit_;
  uint32_t depth_ = 0;
};

}  // namespace

Result<void> Read(std::string_view text, uint64_t first_byte, const Visit& visit) {
  const auto refuse = [&](std::string what, size_t at) -> Result<void> {
    return Result<void>(Fail(Code::kBadInput, std::move(what), std::string(kRemedy)))
        .map_error(Where("byte", fmt::format("{}", first_byte + at)));
  };
  if (const size_t bad = FirstInvalidUtf8(text); bad != std::string_view::npos)
    return refuse(fmt::format("not UTF-8: byte 0x{:02x}", static_cast<unsigned char>(text[bad])),
                  bad);
  if (text.starts_with("\xef\xbb\xbf")) return refuse("a byte-order mark before the JSON", 0);
  if (const size_t nul = text.find('\0'); nul != std::string_view::npos)
    return refuse("a NUL byte in the JSON", nul);

  const char* reached = text.data();
  Sax sax(visit);
  const bool is_whole =
      nlohmann::json::sax_parse(CountingIterator{text.data(), &reached},
                                CountingIterator{text.data() + text.size(), &reached}, &sax);
  if (is_whole) return {};
  const size_t at =
      sax.is_syntax_error_ ? sax.error_position_ : static_cast<size_t>(reached - text.data());
  // The byte is the innermost place, whatever the visitor added.
  return std::move(sax.result_).map_error([&](Error error) {
    error.where.insert(error.where.begin(), Place{"byte", fmt::format("{}", first_byte + at)});
    return error;
  });
}

std::string_view ShortEscape(uint32_t code_point) {
  switch (code_point) {
    case '"':
      return R"(\")";
    case '\\':
      return R"(\\)";
    case '\b':
      return R"(\b)";
    case '\t':
      return R"(\t)";
    case '\n':
      return R"(\n)";
    case '\f':
      return R"(\f)";
    case '\r':
      return R"(\r)";
    default:
      return "";
  }
}

void AppendString(std::string& json, std::string_view text) {
  json += '"';
  for (const char c : text) {
    const auto code = static_cast<unsigned char>(c);
    if (const std::string_view escape = ShortEscape(code); !escape.empty())
      json += escape;
    else if (code < 0x20)
      json += fmt::format("\\u{:04x}", code);
    else
      json += c;
  }
  json += '"';
}

}  // namespace ckpt::json
