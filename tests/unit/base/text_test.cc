#include "base/text.h"

#include <gtest/gtest.h>

namespace ckpt {
namespace {

using namespace std::string_view_literals;

TEST(Nearest, OffersAWordWithinTwoEdits) {
  const std::vector<std::string> known = {"llama", "gemma", "mixtral"};
  EXPECT_EQ(Nearest("lama", known), "llama");
  EXPECT_EQ(Nearest("gemma", known), "gemma");
  EXPECT_EQ(Nearest("mixtarl", known), "mixtral");
  EXPECT_EQ(Nearest("mextarl", known), "");
}

TEST(Nearest, OffersNothingThatDiffersInHalfOfTheWord) {
  const std::vector<std::string> known = {"ab", "wxyz"};
  EXPECT_EQ(Nearest("ac", known), "");
  EXPECT_EQ(Nearest("wxab", known), "");
  EXPECT_EQ(Nearest("wxya", known), "wxyz");
  EXPECT_EQ(Nearest("", known), "");
}

TEST(Split, GivesTheEmptyPartsToo) {
  EXPECT_EQ(Split("a/b", '/'), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(Split("/a//", '/'), (std::vector<std::string>{"", "a", "", ""}));
  EXPECT_EQ(Split("a/b", ','), (std::vector<std::string>{"a/b"}));
  EXPECT_EQ(Split("", '/'), (std::vector<std::string>{""}));
}

TEST(Trimmed, LeavesTheSpacesInside) {
  EXPECT_EQ(Trimmed(" \t\r\na b\n"), "a b");
  EXPECT_EQ(Trimmed("a"), "a");
  EXPECT_EQ(Trimmed(" \n"), "");
  EXPECT_EQ(Trimmed(""), "");
}

TEST(Lower, ChangesAsciiLettersAlone) {
  EXPECT_EQ(Lower("GeMMa-2B_\xc3\x89"), "gemma-2b_\xc3\x89");
}

TEST(ListSome, CountsWhatItLeavesOut) {
  const std::vector<std::string> names = {"a", "b\n", "c"};
  EXPECT_EQ(ListSome(names, 3), "a, b\\x0a, c");
  EXPECT_EQ(ListSome(names, 2), "a, b\\x0a and 1 more");
  EXPECT_EQ(ListSome({}, 2), "");
}

TEST(Utf8, IsInvalidFromTheFirstBadByteOn) {
  EXPECT_EQ(FirstInvalidUtf8("a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"), std::string_view::npos);
  EXPECT_EQ(FirstInvalidUtf8("ab\xff"), 2U);
  EXPECT_EQ(FirstInvalidUtf8("a\xc3"), 1U);             // cut
  EXPECT_EQ(FirstInvalidUtf8("\xc0\x80"), 0U);          // overlong, 2 bytes
  EXPECT_EQ(FirstInvalidUtf8("\xe0\x9f\xbf"), 0U);      // overlong, 3 bytes
  EXPECT_EQ(FirstInvalidUtf8("\xf0\x8f\xbf\xbf"), 0U);  // overlong, 4 bytes
  EXPECT_EQ(FirstInvalidUtf8("\xed\xa0\x80"), 0U);      // a surrogate
  EXPECT_EQ(FirstInvalidUtf8("\xf4\x90\x80\x80"), 0U);  // beyond U+10FFFF
  EXPECT_EQ(FirstInvalidUtf8("\x80"), 0U);
}

TEST(Printable, EscapesWhatCouldSteerATerminal) {
  EXPECT_EQ(Printable("a\x1b[31m\n\x7f\0"sv), "a\\x1b[31m\\x0a\\x7f\\x00");
  EXPECT_EQ(Printable("\xff"), "\\xff");
  EXPECT_EQ(Printable("\xc2\x9b"), "\\xc2\\x9b");  // the one-character form of ESC [
  EXPECT_EQ(Printable("\xc3\xa9 \xe2\x82\xac"), "\xc3\xa9 \xe2\x82\xac");
}

TEST(Excerpt, CutsBetweenCharacters) {
  EXPECT_EQ(Excerpt("short", 5), "short");
  EXPECT_EQ(Excerpt("longer", 4), "long...");
  EXPECT_EQ(Excerpt("ab\xe2\x82\xac", 3), "ab...");
  EXPECT_EQ(Excerpt("ab\xe2\x82\xac", 4), "ab...");
  EXPECT_EQ(Excerpt("\n\n", 1), "\\x0a...");
}

TEST(Below, JoinsWithASlashWhatIsThere) {
  EXPECT_EQ(Below("a/b", "c"), "a/b/c");
  EXPECT_EQ(Below("", "c"), "c");
  EXPECT_EQ(Below("a/b", ""), "a/b");
}

}  // namespace
}  // namespace ckpt
