#include "cli/arguments.h"

#include <gtest/gtest.h>

#include "base/units.h"
#include "cli/machine.h"

namespace ckpt {
namespace {

Arguments Good() {
  Arguments arguments;
  arguments.source = "in";
  arguments.destination = "out";
  arguments.target = "jetstream-pytorch";
  return arguments;
}

TEST(ParseSettings, NamesEverythingThatIsWrongAtOnce) {
  Arguments arguments = Good();
  arguments.quantize = "int9";
  arguments.memory = "lots";
  arguments.bundle_size = "10";
  arguments.io = "magic";
  const auto settings = ParseSettings(arguments);
  ASSERT_FALSE(settings);
  EXPECT_EQ(settings.error().code, Code::kUsage);
  EXPECT_EQ(settings.error().details.size(), 4U) << settings.error().Print();
}

TEST(ParseSettings, TakesTheShardAndNamesItsFaultWithTheOthers) {
  Arguments arguments = Good();
  arguments.environment = [](const char*) { return std::nullopt; };
  arguments.shard.shard = "2/8";
  arguments.is_verifying_resume = true;
  const auto settings = ParseSettings(arguments);
  ASSERT_TRUE(settings);
  EXPECT_EQ(settings->shard.index, 2U);
  EXPECT_EQ(settings->shard.count, 8U);
  EXPECT_TRUE(settings->is_verifying_resume);
  arguments.shard.shard = "8/8";
  arguments.memory = "lots";
  const auto wrong = ParseSettings(arguments);
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().details.size(), 2U) << wrong.error().Print();
}

TEST(ParseSettings, SuggestsTheWordThatWasMeant) {
  Arguments arguments = Good();
  arguments.quantize = "int8_perchannel";
  const auto settings = ParseSettings(arguments);
  ASSERT_FALSE(settings);
  EXPECT_NE(settings.error().remedy.find("did you mean int8_per_channel?"), std::string::npos)
      << settings.error().remedy;
}

TEST(ParseSettings, RefusesABudgetBelowTheLeast) {
  Arguments arguments = Good();
  arguments.memory = "127MiB";
  ASSERT_FALSE(ParseSettings(arguments));
  arguments.memory = "128MiB";
  const auto settings = ParseSettings(arguments);
  ASSERT_TRUE(settings);
  EXPECT_EQ(settings->plan.resources.memory_bytes, 128 * kMiB);
}

TEST(ParseSettings, TellsAFamilyTableFromAFamilyName) {
  Arguments arguments = Good();
  arguments.family = "llama";
  EXPECT_EQ(ParseSettings(arguments)->family_name, "llama");
  arguments.family = "mine.toml";
  EXPECT_EQ(ParseSettings(arguments)->family_files, std::vector<std::string>{"mine.toml"});
}

TEST(Machine, HasCoresAndMemory) {
  EXPECT_GE(CoreCount(), 1U);
  EXPECT_GE(MachineMemoryBytes(), 64 * kMiB);
}

}  // namespace
}  // namespace ckpt
