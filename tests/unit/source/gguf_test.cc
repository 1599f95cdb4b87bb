#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "source/gguf/reader.h"
#include "source/open.h"
#include "tests/unit/format/error_of.h"
#include "tests/unit/source/make_files.h"
#include "tests/unit/source/memory_store.h"

namespace ckpt {
namespace {

using ::testing::HasSubstr;

class GgufSource : public ::testing::Test {
 protected:
  Result<Catalog> Open(const std::string& object) { return OpenSource({store_, object}, budget_); }
  void PutPart(uint32_t number, uint32_t said_number, uint32_t said_count, uint32_t tensors = 2) {
    store_->Put("m-0000" + std::to_string(number) + "-of-00002.gguf",
                GgufFile("t" + std::to_string(number), 4, said_number, said_count, tensors));
  }

  std::shared_ptr<MemoryStore> store_ = std::make_shared<MemoryStore>();
  MemoryBudget budget_{64 << 20};
};

TEST_F(GgufSource, GivesRowMajorTensorsOfBlocks) {
  store_->Put("m.gguf", GgufBytes().Begin(1, 0).Tensor("w", {64, 3}, 8, 0).Data(204).bytes());
  const auto catalog = Open("m.gguf");
  ASSERT_TRUE(catalog) << ErrorText(catalog);
  EXPECT_EQ(catalog->format, "gguf");
  const TensorEntry& w = catalog->tensors[0];
  EXPECT_EQ(w.dtype, DType::kQ8_0);
  EXPECT_EQ(w.shape, (Shape{3, 64}));
  EXPECT_EQ(w.pieces[0].byte_strides, (std::vector<uint64_t>{68, 34}));
  EXPECT_EQ(w.pieces[0].offset_bytes, catalog->objects[0].size_bytes - 204);
}

TEST_F(GgufSource, GivesItsKeysAsConfigAndArraysByLength) {
  store_->Put("m.gguf", GgufBytes()
                            .Begin(0, 4)
                            .Text("general.architecture")
                            .U32(8)
                            .Text("llama")
                            .Key("llama.block_count", 32)
                            .Text("huge")
                            .U32(10)
                            .U64(UINT64_MAX)
                            .Text("tokenizer.ggml.tokens")
                            .U32(9)
                            .U32(8)
                            .U64(2)
                            .Text("a")
                            .Text("b")
                            .bytes());
  const auto catalog = Open("m.gguf");
  ASSERT_TRUE(catalog) << ErrorText(catalog);
  ASSERT_EQ(catalog->configs.size(), 1U);
  EXPECT_EQ(catalog->configs[0].kind, "gguf");
  EXPECT_EQ(catalog->configs[0].values,
            (std::map<std::string, ConfigValue>{{"general.architecture", "llama"},
                                                {"llama.block_count", int64_t{32}},
                                                {"huge", 18446744073709551615.0},
                                                {"tokenizer.ggml.tokens.length", int64_t{2}}}));
}

TEST_F(GgufSource, TakesAnyPartForTheWholeSet) {
  PutPart(1, 0, 2);
  PutPart(2, 1, 2);
  for (const char* object : {"", "m-00001-of-00002.gguf", "m-00002-of-00002.gguf"}) {
    const auto catalog = Open(object);
    ASSERT_TRUE(catalog) << ErrorText(catalog);
    ASSERT_EQ(catalog->tensors.size(), 2U);
    EXPECT_EQ(catalog->tensors[1].pieces[0].object, 1U);
  }
}

TEST_F(GgufSource, NamesAMissingPart) {
  PutPart(2, 1, 2);
  const auto catalog = Open("");
  EXPECT_EQ(catalog.error().code, Code::kBadInput);
  EXPECT_THAT(ErrorText(catalog), HasSubstr("m-00001-of-00002.gguf"));
}

TEST_F(GgufSource, RefusesPartsThatSayOtherwiseThanTheirNames) {
  PutPart(1, 0, 2);
  PutPart(2, 0, 2);
  EXPECT_THAT(ErrorText(Open("")), HasSubstr("part 0 (from 0), its name that it is 1"));
  PutPart(2, 1, 3);
  EXPECT_THAT(ErrorText(Open("")), HasSubstr("one of 3 parts"));
}

TEST_F(GgufSource, RefusesASetWithTooFewTensors) {
  PutPart(1, 0, 2, 3);
  PutPart(2, 1, 2, 3);
  EXPECT_THAT(ErrorText(Open("")), HasSubstr("3 tensors, its parts have 2"));
}

TEST_F(GgufSource, RefusesAPartThatWasRenamedToASingleFile) {
  store_->Put("m.gguf", GgufFile("t", 4, 0, 2, 2));
  EXPECT_THAT(ErrorText(Open("m.gguf")), HasSubstr("one of 2 parts"));
}

TEST_F(GgufSource, NamesTheFileOfADefect) {
  store_->Put("m.gguf", GgufFile("t", 4).substr(0, 60));
  const auto catalog = Open("m.gguf");
  EXPECT_EQ(catalog.error().code, Code::kBadInput);
  EXPECT_EQ(PlaceOf(catalog, "file"), "/memory/m.gguf");
  EXPECT_NE(PlaceOf(catalog, "byte"), "");
}

TEST_F(GgufSource, ReadsATokenizerOfMegabytesInALittleMemory) {
  GgufBytes file;
  file.Begin(1, 1).Text("tokenizer.ggml.tokens").U32(9).U32(8).U64(200000);
  for (int i = 0; i < 200000; ++i) file.Text("token");
  store_->Put("m.gguf", file.Tensor("t", {1}, 0, 0).Data(4).bytes());
  MemoryBudget small(1 << 20);
  const auto catalog = OpenSource({store_, "m.gguf"}, small);
  ASSERT_TRUE(catalog) << ErrorText(catalog);
  EXPECT_EQ(catalog->tensors.size(), 1U);
  EXPECT_LE(small.peak_bytes(), 1U << 20U);
}

}  // namespace
}  // namespace ckpt
