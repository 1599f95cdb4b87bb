#include "format/json/json.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/unit/format/error_of.h"

namespace ckpt {
namespace {

using ::testing::HasSubstr;

Result<void> ReadAll(std::string_view text, uint64_t first_byte = 0) {
  return json::Read(text, first_byte, [](const json::Token&) { return Result<void>(); });
}

constexpr std::string_view kLetters = "{}[]ksun.b0";  // by Kind

// The tokens as one line: kind and depth.
std::string Trace(std::string_view text) {
  std::string trace;
  const auto read = json::Read(text, 0, [&](const json::Token& token) -> Result<void> {
    trace += fmt::format("{}{}", kLetters[static_cast<size_t>(token.kind)], token.depth);
    return {};
  });
  return read ? trace : read.error().Print();
}

TEST(Json, GivesEachTokenWithItsDepth) {
  EXPECT_EQ(Trace(R"({"a":[1,-1,1.5,"x",true,null],"b":{}})"), "{0k1[1u2n2.2s2b202]1k1{1}1}0");
}

TEST(Json, TellsIntegersFromOtherNumbers) {
  EXPECT_EQ(Trace("[0,18446744073709551615,18446744073709551616,-0,-1,1e0,2.0]"),
            "[0u1u1.1n1n1.1.1]0");
}

TEST(Json, RefusesWhatIsNotWholeJson) {
  for (const char* text :
       {"", " ", "{", "{}x", "{} {}", "[1,]", R"({"a":1,})", "{'a':1}", "01", "+1", ".5", "NaN",
        "nul", "\"\n\"", R"("\x")", R"("\ud800")", "// x\n{}"}) {
    EXPECT_THAT(ErrorText(ReadAll(text)), HasSubstr("not JSON")) << text;
  }
}

TEST(Json, NamesTheByteOfASyntaxErrorInItsFile) {
  EXPECT_EQ(PlaceOf(ReadAll("{\"a\":!}", 8), "byte"), "13");
}

TEST(Json, RefusesANulByteWhichTheLibraryTakesForTheEnd) {
  const auto read = ReadAll(std::string_view("{}\0\0", 4));
  EXPECT_THAT(ErrorText(read), HasSubstr("NUL"));
  EXPECT_EQ(PlaceOf(read, "byte"), "2");
}

TEST(Json, RefusesAByteOrderMark) {
  EXPECT_THAT(ErrorText(ReadAll("\xef\xbb\xbf{}")), HasSubstr("byte-order mark"));
}

TEST(Json, NamesTheFirstByteThatIsNotUtf8) {
  const auto read = ReadAll("{\"\xff\":1}", 8);
  EXPECT_THAT(ErrorText(read), HasSubstr("not UTF-8"));
  EXPECT_EQ(PlaceOf(read, "byte"), "10");
}

TEST(Json, RefusesMoreThan128Levels) {
  const auto nested = [](size_t levels) {
    return std::string(levels, '[') + std::string(levels, ']');
  };
  EXPECT_TRUE(ReadAll(nested(128)));
  EXPECT_THAT(ErrorText(ReadAll(nested(129))), HasSubstr("deeper than 128"));
}

TEST(Json, GivesTheVisitorsErrorTheByteWhereItsTokenEnds) {
  const auto read = json::Read(R"({"a":"bad"})", 100, [](const json::Token& token) -> Result<void> {
    if (token.kind == json::Kind::kString) return Fail(Code::kBadInput, "no strings");
    return {};
  });
  EXPECT_THAT(ErrorText(read), HasSubstr("no strings"));
  EXPECT_EQ(PlaceOf(read, "byte"), "110");
}

TEST(Json, WritesStringsAsSerdeJsonDoes) {
  std::string text;
  json::AppendString(text, std::string_view("a\"\\/\b\t\n\f\r\x01\x1f\x7f\0\xc3\xa9", 15));
  EXPECT_EQ(text, "\"a\\\"\\\\/\\b\\t\\n\\f\\r\\u0001\\u001f\x7f\\u0000\xc3\xa9\"");
}

TEST(Json, ReadsBackEveryStringThatItWrites) {
  std::string all;
  for (int c = 0; c < 128; ++c) all += static_cast<char>(c);
  std::string text;
  json::AppendString(text, all);
  std::string back;
  ASSERT_TRUE(json::Read(text, 0, [&](const json::Token& token) -> Result<void> {
    back = token.text;
    return {};
  }));
  EXPECT_EQ(back, all);
}

}  // namespace
}  // namespace ckpt
