#include "store/kaggle/handle.h"

#include <gtest/gtest.h>

namespace ckpt {
namespace {

TEST(KaggleHandle, ReadsFourAndFiveParts) {
  const KaggleHandle handle = *KaggleHandle::Parse("google/gemma/maxtext/7b-it/2");
  EXPECT_EQ(handle.owner, "google");
  EXPECT_EQ(handle.model, "gemma");
  EXPECT_EQ(handle.framework, "maxText");
  EXPECT_EQ(handle.variation, "7b-it");
  EXPECT_EQ(handle.version, 2);
  EXPECT_EQ(KaggleHandle::Parse("kaggle://google/gemma/Flax/2b/")->version, 0);
  EXPECT_EQ(KaggleHandle::Parse("kaggle://google/gemma/Flax/2b")->Print(), "google/gemma/flax/2b");
  EXPECT_EQ(handle.Print(), "google/gemma/maxText/7b-it/2");
  EXPECT_EQ(handle.Page(), "https://www.kaggle.com/models/google/gemma");
}

TEST(KaggleHandle, KnowsFrameworksInAnyCase) {
  for (const char* word : {"maxtext", "MaxText", "maxText", "MAXTEXT"})
    EXPECT_EQ(FrameworkEnum(word), "MODEL_FRAMEWORK_MAX_TEXT") << word;
  EXPECT_EQ(FrameworkEnum("pyTorch"), "MODEL_FRAMEWORK_PY_TORCH");
  EXPECT_EQ(FrameworkEnum("transformers"), "MODEL_FRAMEWORK_TRANSFORMERS");
  EXPECT_EQ(FrameworkEnum("newThing"), "MODEL_FRAMEWORK_NEW_THING");
}

TEST(KaggleHandle, RefusesOtherForms) {
  for (const char* text :
       {"", "google/gemma", "google/gemma/flax", "a/b/c/d/1/e", "a/b/c/d/x", "a/b/c/d/0",
        "a/b/c/d/-1", "a/b/../d", "a//c/d", "a/b/c/d e", "a/b/c/d/99999999999", "a/b?x/c/d"}) {
    const Result<KaggleHandle> handle = KaggleHandle::Parse(text);
    ASSERT_FALSE(handle) << text;
    EXPECT_EQ(handle.error().code, Code::kUsage) << text;
  }
}

}  // namespace
}  // namespace ckpt
