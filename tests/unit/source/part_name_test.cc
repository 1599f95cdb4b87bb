#include "source/part_name.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/format/error_of.h"

namespace ckpt {
namespace {

using ::testing::HasSubstr;

TEST(PartName, IsReadAndWritten) {
  const PartName part = ParsePartName("a-b/model-Q4-00002-of-00010.gguf").value_or(PartName{});
  EXPECT_EQ(part.stem, "a-b/model-Q4");
  EXPECT_EQ(part.number, 2U);
  EXPECT_EQ(part.count, 10U);
  EXPECT_EQ(part.ending, ".gguf");
  EXPECT_EQ(ToString(part), "a-b/model-Q4-00002-of-00010.gguf");
}

TEST(PartName, IsNoneOfOtherForms) {
  for (const char* name :
       {"model.safetensors", "model-00000-of-00002.gguf", "model-00003-of-00002.gguf",
        "model-0001-of-0002.gguf", "model-00001-of-00002", "model-+0001-of-00002.gguf",
        "model_00001-of-00002.gguf", "model-00001-on-00002.gguf", "00001-of-00002.gguf", ""})
    EXPECT_FALSE(ParsePartName(name)) << name;
}

TEST(FindParts, SaysWhichPartsAreMissing) {
  const std::vector<ObjectInfo> objects = {{"m-00001-of-00003.gguf", 1, {}, 0, {}},
                                           {"m-00003-of-00003.gguf", 1, {}, 0, {}}};
  const auto parts = FindParts(objects, ParsePartName(objects[0].name).value_or(PartName{}));
  EXPECT_THAT(ErrorText(parts), HasSubstr("1 of the 3 parts are missing: m-00002-of-00003.gguf"));
}

TEST(FindParts, GivesThePartsInOrder) {
  const std::vector<ObjectInfo> objects = {{"m-00002-of-00002.gguf", 2, {}, 0, {}},
                                           {"m-00001-of-00002.gguf", 1, {}, 0, {}}};
  const auto parts = FindParts(objects, ParsePartName(objects[0].name).value_or(PartName{}));
  ASSERT_TRUE(parts);
  EXPECT_EQ((*parts)[0].size_bytes, 1U);
  EXPECT_EQ((*parts)[1].size_bytes, 2U);
}

}  // namespace
}  // namespace ckpt
