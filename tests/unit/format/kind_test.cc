#include "format/kind/kind.h"

#include <gtest/gtest.h>

#include <string>

namespace ckpt {
namespace {

using namespace std::string_view_literals;  // NOLINT(google-build-using-namespace): only literals,
                                            // with NUL bytes

TEST(FileKind, IsToldByTheFirstBytes) {
  EXPECT_EQ(PeekFileKind("\x10\0\0\0\0\0\0\0{}"sv), FileKind::kSafetensors);
  EXPECT_EQ(PeekFileKind("GGUF\3\0\0\0"sv), FileKind::kGguf);
  EXPECT_EQ(PeekFileKind("PK\3\4\0\0\x08\x08"sv), FileKind::kTorchZip);
  EXPECT_EQ(PeekFileKind("\x80\x02\x8a\x0al\xfc\x9c"sv), FileKind::kTorchPickle);
  EXPECT_EQ(PeekFileKind("version https://git-lfs.github.com/spec/v1\n"sv), FileKind::kLfsPointer);
  EXPECT_EQ(PeekFileKind("\n <!DOCTYPE html>"sv), FileKind::kHtml);
  EXPECT_EQ(PeekFileKind("{\"error\":\"gated\"}"sv), FileKind::kJson);
  EXPECT_EQ(PeekFileKind("\x1f\x8b\x08"sv), FileKind::kGzip);
  EXPECT_EQ(PeekFileKind("\x89HDF\r\n"sv), FileKind::kHdf5);
  EXPECT_EQ(PeekFileKind("12345"sv), FileKind::kUnknown);
  EXPECT_EQ(PeekFileKind(""sv), FileKind::kUnknown);
}

TEST(FileKind, TakesAHeaderOf640BytesForSafetensorsAndNotForAPickle) {
  EXPECT_EQ(PeekFileKind("\x80\x02\0\0\0\0\0\0{\"a\""sv), FileKind::kSafetensors);
}

TEST(FileKind, HasWordsAndARemedyForAllButUnknown) {
  for (int kind = 1; kind <= static_cast<int>(FileKind::kHdf5); ++kind) {
    const KindWords words = Words(static_cast<FileKind>(kind));
    EXPECT_FALSE(words.what.empty()) << kind;
    EXPECT_FALSE(words.remedy.empty()) << kind;
  }
}

}  // namespace
}  // namespace ckpt
