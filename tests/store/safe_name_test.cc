#include <string>

#include "tests/store/store_test.h"

namespace ckpt {
namespace {

using std::string_literals::operator""s;

TEST(SafeName, TakesRelativeNames) {
  for (const std::string& name : {"a"s, "a/b/c.safetensors"s, "..a/b.."s, ".hidden"s,
                                  "spaced name"s, "\xc3\xa9"s, std::string(255, 'x'), "a/C:x"s}) {
    EXPECT_TRUE(SafeName(name).has_value()) << name;
  }
}

TEST(SafeName, RefusesWhatLeadsOutsideOrIsNoName) {
  for (const std::string& name :
       {""s, "/"s, "/a"s, "a/"s, "a//b"s, "."s, ".."s, "a/.."s, "a/./b"s, "a\0b"s, "a\\b"s, "C:"s,
        "c:/x"s, std::string(256, 'x'), "a/" + std::string(256, 'x')}) {
    EXPECT_FAILS(Code::kBadInput, SafeName(name));
  }
}

TEST(SafeName, NamesThePartAndShowsNoControlCharacters) {
  const Result<void> refused = SafeName("a\x1b[2J/../b");
  ASSERT_FALSE(refused.has_value());
  EXPECT_THAT(refused.error().what, testing::HasSubstr("the part \"..\" leads elsewhere"));
  EXPECT_THAT(refused.error().what, testing::Not(testing::HasSubstr("\x1b")));
}

}  // namespace
}  // namespace ckpt
