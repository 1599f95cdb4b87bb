#include "source/open.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/format/error_of.h"
#include "tests/unit/source/make_files.h"
#include "tests/unit/source/memory_store.h"
#include "tests/unit/source/orbax_builder.h"

namespace ckpt {
namespace {

using ::testing::HasSubstr;

class OpenSourceTest : public ::testing::Test {
 protected:
  Result<Catalog> Open(const std::string& object = "") {
    return OpenSource({store_, object}, budget_);
  }
  // A file whose one tensor has the name that tells which file was read.
  void Put(const std::string& name, const std::string& tensor) {
    store_->Put(name, SafetensorsFile({{tensor, 1}}));
  }
  // The names of the tensors, or the error.
  std::string Tensors(const std::string& object = "") {
    const auto catalog = Open(object);
    if (!catalog) return ErrorText(catalog);
    std::string names;
    for (const TensorEntry& tensor : catalog->tensors)
      names += (names.empty() ? "" : " ") + tensor.name;
    return names;
  }

  std::shared_ptr<MemoryStore> store_ = std::make_shared<MemoryStore>();
  MemoryBudget budget_{64 << 20};
};

TEST_F(OpenSourceTest, AsksForIndexThenModelThenTheOnlyFileThenASetThenGguf) {
  store_->Put("q.gguf", GgufFile("gguf", 1));
  EXPECT_EQ(Tensors(), "gguf");
  Put("model-00001-of-00002.safetensors", "set1");
  Put("model-00002-of-00002.safetensors", "set2");
  EXPECT_EQ(Tensors(), "set1 set2");
  Put("model.safetensors", "model");
  EXPECT_EQ(Tensors(), "model");
  store_->Put("model.safetensors.index.json",
              R"({"weight_map":{"set2":"model-00002-of-00002.safetensors"}})");
  EXPECT_EQ(Tensors(), "set2");
}

TEST_F(OpenSourceTest, TakesTheOnlySafetensorsFile) {
  Put("weights.safetensors", "only");
  EXPECT_EQ(Tensors(), "only");
}

TEST_F(OpenSourceTest, SaysWhichPartOfASetIsMissing) {
  Put("model-00001-of-00003.safetensors", "a");
  EXPECT_THAT(Tensors(),
              HasSubstr("model-00002-of-00003.safetensors, model-00003-of-00003.safetensors"));
  EXPECT_EQ(Open().error().code, Code::kBadInput);
}

TEST_F(OpenSourceTest, ListsSeveralFilesThatAreNoSet) {
  Put("x.safetensors", "x");
  Put("y.safetensors", "y");
  EXPECT_THAT(Tensors(), HasSubstr("x.safetensors, y.safetensors"));
}

TEST_F(OpenSourceTest, NeverMixesInWhatLiesDeeper) {
  Put("model.safetensors", "model");
  Put("original/model.safetensors", "original");
  store_->Put("original/params.json", "{}");
  const auto catalog = Open();
  ASSERT_TRUE(catalog) << ErrorText(catalog);
  EXPECT_EQ(catalog->tensors.size(), 1U);
  EXPECT_TRUE(catalog->configs.empty());
}

TEST_F(OpenSourceTest, ReadsAFolderThatIsNamedInsideTheStore) {
  Put("model.safetensors", "top");
  Put("sub/model.safetensors", "sub");
  store_->Put("sub/config.json", R"({"a":1})");
  EXPECT_EQ(Tensors("sub"), "sub");
  EXPECT_EQ(Tensors("sub/"), "sub");
  EXPECT_EQ(Open("sub")->configs.size(), 1U);
}

TEST_F(OpenSourceTest, SaysWhatLiesInAFolderWithoutWeights) {
  store_->Put("notes.txt", "hello");
  store_->Put("config.json", "{}");
  const auto catalog = Open();
  EXPECT_EQ(catalog.error().code, Code::kNotFound);
  EXPECT_THAT(ErrorText(catalog), HasSubstr("no safetensors, PyTorch or GGUF file and no Orbax "
                                            "checkpoint; there are: config.json, notes.txt"));
}

TEST_F(OpenSourceTest, SaysThatAPathDoesNotExist) {
  EXPECT_EQ(Open().error().code, Code::kNotFound);
  Put("model.safetensors", "model");
  const auto catalog = Open("nothing.safetensors");
  EXPECT_EQ(catalog.error().code, Code::kNotFound);
  EXPECT_THAT(ErrorText(catalog), HasSubstr("no such file"));
  EXPECT_THAT(PlaceOf(catalog, "file"), HasSubstr("nothing.safetensors"));
}

TEST_F(OpenSourceTest, TellsAFileByItsContent) {
  Put("weights.bin", "safetensors");
  store_->Put("other.safetensors", GgufFile("gguf", 1));
  EXPECT_EQ(Tensors("weights.bin"), "safetensors");
  EXPECT_EQ(Tensors("other.safetensors"), "gguf");
}

TEST_F(OpenSourceTest, HasWordsForFilesThatAreNoWeights) {
  store_->Put("a.pth", std::string("PK\3\4\0\0\x08\x08", 8));
  store_->Put("b.bin", "\x80\x02\x8a");
  store_->Put("c.safetensors", "version https://git-lfs.github.com/spec/v1\n");
  store_->Put("d.gguf", "<html></html>");
  store_->Put("e.json", "{}");
  store_->Put("f", "hello");
  EXPECT_THAT(Tensors("a.pth"), HasSubstr("zip archive"));
  EXPECT_THAT(Tensors("b.bin"), HasSubstr("pickle"));
  EXPECT_THAT(Tensors("c.safetensors"), HasSubstr("git lfs pull"));
  EXPECT_THAT(Tensors("d.gguf"), HasSubstr("HTML page"));
  EXPECT_THAT(Tensors("e.json"), HasSubstr("JSON text"));
  EXPECT_THAT(Tensors("f"), HasSubstr("neither a safetensors nor a PyTorch nor a GGUF file"));
  for (const char* name : {"a.pth", "b.bin", "c.safetensors", "d.gguf", "e.json", "f"}) {
    EXPECT_EQ(Open(name).error().code, Code::kBadInput) << name;
    EXPECT_EQ(PlaceOf(Open(name), "file"), std::string("/memory/") + name);
  }
}

TEST_F(OpenSourceTest, ReadsTheConfigsBesideANamedFile) {
  Put("m/x.safetensors", "x");
  store_->Put("m/config.json", R"({"hidden_size":4})");
  store_->Put("m/params.json", R"({"dim":4})");
  const auto catalog = Open("m/x.safetensors");
  ASSERT_TRUE(catalog) << ErrorText(catalog);
  ASSERT_EQ(catalog->configs.size(), 2U);
  EXPECT_EQ(catalog->configs[0].values.at("hidden_size"), ConfigValue(int64_t{4}));
}

TEST_F(OpenSourceTest, WarnsWhenOnlyOnePartIsNamed) {
  Put("model-00001-of-00002.safetensors", "a");
  const auto catalog = Open("model-00001-of-00002.safetensors");
  ASSERT_TRUE(catalog) << ErrorText(catalog);
  EXPECT_THAT(catalog->warnings, ::testing::ElementsAre(HasSubstr("one of 2 parts")));
}

TEST_F(OpenSourceTest, ReadsANamedIndex) {
  Put("s1", "a");
  store_->Put("other.index.json", R"({"weight_map":{"a":"s1"}})");
  EXPECT_EQ(Tensors("other.index.json"), "a");
}

// --source-format: what the user says of a folder with several.
class SourceFormatTest : public OpenSourceTest {
 protected:
  // What is read of the folder or object, by the name of its only tensor; or the error.
  std::string Read(const std::string& format, const std::string& object = "") {
    const auto catalog = OpenSource({store_, object, format}, budget_);
    if (!catalog) return ErrorText(catalog);
    EXPECT_TRUE(catalog->format.starts_with(format)) << catalog->format;
    return catalog->tensors.at(0).name;
  }
  Code CodeOf(const std::string& format, const std::string& object = "") {
    return OpenSource({store_, object, format}, budget_).error().code;
  }
  void PutOrbax(const std::string& folder) {
    OrbaxBuilder builder;
    const ZarrArrayMeta meta = MakeZarrMeta(ZarrForm::kV3, DType::kU8, {4}, {4});
    builder.Array("orbax", meta).Chunk("orbax", meta, 0, "abcd").PutFiles(*store_, folder);
  }
};

TEST_F(SourceFormatTest, ChoosesAmongAllInAFolder) {
  Put("model.safetensors", "safetensors");
  store_->Put("q.gguf", GgufFile("gguf", 1));
  PutOrbax("0/items/");
  EXPECT_EQ(Read(""), "safetensors");
  EXPECT_EQ(Read("safetensors"), "safetensors");
  EXPECT_EQ(Read("gguf"), "gguf");
  EXPECT_EQ(Read("orbax"), "params/orbax");
}

TEST_F(SourceFormatTest, SaysThatTheAskedOneIsNotThere) {
  Put("model.safetensors", "safetensors");
  EXPECT_THAT(Read("gguf"), HasSubstr("no weights in the format gguf; there are: model.saf"));
  EXPECT_EQ(CodeOf("gguf"), Code::kNotFound);
}

TEST_F(SourceFormatTest, ChoosesInAFolderThatIsNamedInsideTheStore) {
  Put("sub/model.safetensors", "safetensors");
  store_->Put("sub/q.gguf", GgufFile("gguf", 1));
  EXPECT_EQ(Read("gguf", "sub"), "gguf");
}

TEST_F(SourceFormatTest, AnIndexIsSafetensorsToo) {
  Put("s1.safetensors", "safetensors");
  store_->Put("model.safetensors.index.json", R"({"weight_map":{"safetensors":"s1.safetensors"}})");
  EXPECT_EQ(Read("safetensors"), "safetensors");
}

TEST_F(SourceFormatTest, FindsNothingWhereTheFolderHoldsOtherFormats) {
  Put("model.safetensors", "safetensors");
  EXPECT_EQ(CodeOf("gguf"), Code::kNotFound);
  EXPECT_THAT(Read("gguf"), HasSubstr("there are: model.safetensors"));
  EXPECT_EQ(CodeOf("orbax"), Code::kNotFound);
}

TEST_F(SourceFormatTest, RefusesANamedFileOfAnother) {
  Put("model.safetensors", "safetensors");
  store_->Put("q.gguf", GgufFile("gguf", 1));
  EXPECT_EQ(Read("gguf", "q.gguf"), "gguf");
  EXPECT_EQ(CodeOf("gguf", "model.safetensors"), Code::kBadInput);
  EXPECT_THAT(Read("gguf", "model.safetensors"), HasSubstr("the source is safetensors, not gguf"));
  EXPECT_THAT(Read("safetensors", "q.gguf"), HasSubstr("the source is gguf, not safetensors"));
  EXPECT_THAT(Read("orbax", "q.gguf"), HasSubstr("the source is gguf, not orbax"));
}

}  // namespace
}  // namespace ckpt
