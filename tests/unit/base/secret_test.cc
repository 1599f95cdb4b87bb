#include "base/secret.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <ostream>
#include <type_traits>

namespace ckpt {
namespace {

template <class T>
concept Streamable = requires(std::ostream& out, const T& value) { out << value; };

TEST(Secret, PrintsAsAWordAndRevealsOnlyWhenAsked) {
  const Secret secret("hf_token");
  EXPECT_EQ(fmt::format("{} {:>10}", secret, secret), "[secret]   [secret]");
  EXPECT_EQ(secret.Reveal(), "hf_token");
  EXPECT_TRUE(Secret().empty());
}

TEST(Secret, HasNoConversionAndNoStreamOutput) {
  static_assert(!std::is_convertible_v<Secret, std::string>);
  static_assert(!std::is_convertible_v<std::string, Secret>);
  static_assert(!std::is_constructible_v<std::string_view, Secret>);
  static_assert(!Streamable<Secret>);
  static_assert(Streamable<std::string>);
}

}  // namespace
}  // namespace ckpt
