#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "source/box_reader.h"
#include "source/box_runs.h"
#include "source/open.h"
#include "source/reader_pool.h"
#include "source/source_checks.h"
#include "tests/unit/format/error_of.h"
#include "tests/unit/source/make_files.h"
#include "tests/unit/source/memory_store.h"
#include "tests/unit/source/torch_builder.h"

namespace ckpt {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class TorchTest : public ::testing::Test {
 protected:
  Result<Catalog> Open(const std::string& object = "", const std::string& format = "") {
    return OpenSource({store_, object, format}, budget_);
  }
  // Names of what is read, or the error.
  std::string Names(const std::string& object = "", const std::string& format = "") {
    const auto catalog = Open(object, format);
    if (!catalog) return ErrorText(catalog);
    std::string names;
    for (const TensorEntry& tensor : catalog->tensors) names += tensor.name + " ";
    return names;
  }
  std::string Bytes(const Catalog& catalog, size_t tensor) {
    ReaderPool pool(*store_, catalog);
    BoxReader reader(pool.Opener(), budget_);
    const TensorEntry& entry = catalog.tensors[tensor];
    std::string bytes(entry.size_bytes, '\0');
    EXPECT_TRUE(
        reader.Read(entry, WholeBox(entry.shape), std::as_writable_bytes(std::span(bytes))));
    return bytes;
  }
  void Put(const std::string& name, const std::string& tensor) {
    store_->Put(name, TorchZip({{tensor, {4}, "abcd"}}));
  }
  void ExpectRefusal(const std::string& file, const std::string& words) {
    store_->Put("m.pth", file);
    const auto catalog = Open("m.pth");
    ASSERT_FALSE(catalog) << words;
    EXPECT_EQ(catalog.error().code, Code::kBadInput) << ErrorText(catalog);
    EXPECT_THAT(ErrorText(catalog), HasSubstr(words));
    EXPECT_EQ(PlaceOf(catalog, "file"), "/memory/m.pth");
  }

  std::shared_ptr<MemoryStore> store_ = std::make_shared<MemoryStore>();
  MemoryBudget budget_{64 << 20};
};

TEST_F(TorchTest, ReadsZipAndLegacyFilesAlike) {
  const std::vector<TorchTensor> tensors = {{"b", {2, 2}, "abcd"}, {"a", {3}, "xyz"}};
  store_->Put("zip", TorchZip(tensors));
  store_->Put("legacy", TorchLegacy(tensors));
  for (const std::string name : {"zip", "legacy"}) {
    const auto catalog = Open(name);
    ASSERT_TRUE(catalog) << ErrorText(catalog);
    EXPECT_EQ(catalog->format, "torch-" + name);
    ASSERT_EQ(catalog->tensors.size(), 2U);
    EXPECT_EQ(Bytes(*catalog, 0), "xyz");
    EXPECT_EQ(Bytes(*catalog, 1), "abcd");
    EXPECT_TRUE(IsContiguous(catalog->tensors[1]));
    EXPECT_EQ(catalog->checks.size(), name == "zip" ? 2U : 0U);
  }
  EXPECT_EQ(budget_.used_bytes(), 0U);
}

TEST_F(TorchTest, NeverReadsTheDataToOpenAFile) {
  store_->Put("m.pth", TorchZip({{"w", {8 << 20}, std::string(8 << 20, 'w')}}));
  ASSERT_TRUE(Open("m.pth"));
  EXPECT_LT(store_->read_bytes(), 200'000U);
}

TEST_F(TorchTest, SwapsBigEndianNumbers) {
  store_->Put("m.pth", TorchZip({{"i", {2}, std::string("\1\2\3\4\5\6\7\10", 8), "IntStorage", 4},
                                 {"u", {2}, "ab"}},
                                "big"));
  const auto catalog = Open("m.pth");
  ASSERT_TRUE(catalog) << ErrorText(catalog);
  EXPECT_EQ(Bytes(*catalog, 0), std::string("\4\3\2\1\10\7\6\5", 8));
  EXPECT_EQ(Bytes(*catalog, 1), "ab");
  store_->Put("n.pth", TorchZip({{"i", {1}, "abcd", "IntStorage", 4}}, ""));
  EXPECT_EQ(Bytes(*Open("n.pth"), 0), "abcd");
}

TEST_F(TorchTest, ReadsViewsAsTheyLie) {
  using pickle::TensorOp;
  const std::string storage = pickle::StorageOp(pickle::GlobalOp("torch", "ByteStorage"), "0", 12);
  ZipBuilder zip;
  zip.Add(
      "r/data.pkl",
      pickle::Pickle(pickle::Dict({{"1 transposed", TensorOp(storage, 0, {4, 3}, {1, 4})},
                                   {"2 expanded", TensorOp(storage, 2, {2, 3}, {0, 1})},
                                   {"3 windows", TensorOp(storage, 0, {3, 4}, {2, 1})},
                                   {"4 every second", TensorOp(storage, 1, {5}, {2})},
                                   {"5 tied", TensorOp(storage, 2, {2, 3}, {0, 1})},
                                   {"6 backward windows", TensorOp(storage, 0, {4, 5}, {3, 0})}})));
  zip.Add("r/data/0", "abcdefghijkl");
  store_->Put("m.pth", zip.Finish());
  const auto catalog = Open("m.pth");
  ASSERT_TRUE(catalog) << ErrorText(catalog);
  EXPECT_EQ(Bytes(*catalog, 0), "aeibfjcgkdhl");
  EXPECT_EQ(Bytes(*catalog, 1), "cdecde");
  EXPECT_EQ(Bytes(*catalog, 2), "abcdcdefefgh");
  EXPECT_EQ(Bytes(*catalog, 3), "bdfhj");
  EXPECT_EQ(Bytes(*catalog, 5), "aaaaadddddgggggjjjjj");
  EXPECT_EQ(catalog->tensors[1].pieces[0].offset_bytes, catalog->tensors[4].pieces[0].offset_bytes);
  EXPECT_FALSE(HasDensePieces(catalog->tensors[0]));
  EXPECT_EQ(catalog->checks.size(), 1U) << "one storage, one check";
}

TEST_F(TorchTest, RefusesZipsThatAreNoCheckpoint) {
  ExpectRefusal(ZipBuilder().Add("readme.txt", "hello").Finish(), "without data.pkl");
  ExpectRefusal(ZipBuilder().Add("a/data.pkl", pickle::Pickle("}")).Add("a/code/x.py", "").Finish(),
                "TorchScript");
  ExpectRefusal(ZipBuilder().Add("a/data.pkl", "x").Add("b/data.pkl", "y").Finish(), "two pickles");
  ExpectRefusal(
      ZipBuilder().Add("a/data.pkl", pickle::Pickle("}")).Add("a/byteorder", "middle").Finish(),
      "neither little nor big");
  std::string tar(512, '\0');
  tar.replace(257, 5, "ustar");
  ExpectRefusal(tar, "re-save it with torch.save");
  ExpectRefusal("", "the file is empty");
  ExpectRefusal("hello", "not a PyTorch file");
}

TEST_F(TorchTest, HoldsTheDirectoryAgainstThePickle) {
  const std::string pickle = TorchPickle({{"w", {4}, "abcd"}});
  const auto with = [&](const std::string& data, const ZipBuilder::Options& options = {}) {
    return ZipBuilder().Add("a/data.pkl", pickle).Add("a/data/0", data, options).Finish();
  };
  ExpectRefusal(ZipBuilder().Add("a/data.pkl", pickle).Finish(),
                "record a/data/0, which data.pkl refers to, is missing");
  ExpectRefusal(with("abc"), "has 3 bytes, data.pkl says 4");
  ExpectRefusal(with("abcde"), "has 5 bytes, data.pkl says 4");
  ZipBuilder::Options deflated;
  deflated.method = 8;
  ExpectRefusal(with("abcd", deflated), "range reads are impossible");
}

TEST_F(TorchTest, ChecksTheCrcOfThePickle) {
  std::string file = TorchZip({{"weight", {4}, "abcd"}});
  file[file.find("weight")] = 'W';
  ExpectRefusal(file, "differ from their CRC-32");
}

TEST_F(TorchTest, HoldsCountsOfALegacyFileAgainstItsPickle) {
  std::string file = TorchLegacy({{"w", {4}, "abcd"}});
  ExpectRefusal(file.substr(0, file.size() - 1), "truncated");
  ExpectRefusal(file.substr(0, 30), "ends inside a pickle");
  file[file.size() - 12] = 5;
  ExpectRefusal(file, "has 5 elements here, the pickle says 4");
  store_->Put("m.pth", TorchLegacy({{"w", {4}, "abcd"}}) + "more");
  EXPECT_THAT(Open("m.pth")->warnings, ElementsAre(HasSubstr("4 bytes after the last storage")));
}

// --- which files a folder's catalog is made of

TEST_F(TorchTest, AsksForSafetensorsThenBinThenShardsThenOthers) {
  store_->Put("q.gguf", GgufFile("gguf", 1));
  EXPECT_EQ(Names(), "gguf ");
  Put("x.pth", "pth");
  EXPECT_EQ(Names(), "pth ");
  Put("consolidated.00.pth", "meta");
  EXPECT_EQ(Names(), "meta ");
  EXPECT_EQ(Open()->format, "meta-consolidated");
  Put("other.bin", "bin");
  EXPECT_EQ(Names(), "bin ");
  Put("training_args.bin", "no weights");
  EXPECT_EQ(Names(), "bin ");
  Put("pytorch_model.bin", "hf");
  EXPECT_EQ(Names(), "hf ");
  Put("part.bin", "indexed");
  store_->Put("pytorch_model.bin.index.json", R"({"weight_map":{"indexed":"part.bin"}})");
  EXPECT_EQ(Names(), "indexed ");
  EXPECT_EQ(Open()->format, "torch-index");
  store_->Put("model.safetensors", SafetensorsFile({{"safetensors", 1}}));
  EXPECT_EQ(Names(), "safetensors ");
  EXPECT_THAT(Open()->warnings,
              ElementsAre(HasSubstr("there are also PyTorch .bin files, Meta's consolidated.*.pth, "
                                    "other PyTorch files, GGUF files")));
  EXPECT_EQ(Names("", "torch"), "indexed ");
  EXPECT_EQ(Names("", "gguf"), "gguf ");
  EXPECT_EQ(Names("consolidated.00.pth", "torch"), "meta ");
}

TEST_F(TorchTest, SaysThatShardsLieUnderOriginal) {
  store_->Put("model.safetensors", SafetensorsFile({{"a", 1}}));
  Put("original/consolidated.00.pth", "meta");
  EXPECT_THAT(Open()->warnings, ElementsAre(HasSubstr("under original/")));
}

TEST_F(TorchTest, ReadsAllPartsOfASetWithoutAnIndex) {
  Put("pytorch_model-00001-of-00002.bin", "a");
  EXPECT_THAT(Names(), HasSubstr("pytorch_model-00002-of-00002.bin"));
  Put("pytorch_model-00002-of-00002.bin", "b");
  EXPECT_EQ(Names(), "a b ");
  EXPECT_THAT(Open("pytorch_model-00001-of-00002.bin")->warnings,
              ElementsAre(HasSubstr("one of 2 parts")));
}

TEST_F(TorchTest, SeveralPtFilesAreThePiecesOfOneCheckpoint) {
  Put("0.pt", "a");
  Put("1.pt", "b");
  EXPECT_EQ(Names(), "a b ");
  Put("2.pt", "a");
  EXPECT_THAT(Names(), HasSubstr("appears twice, in /memory/0.pt and in /memory/2.pt"));
  store_ = std::make_shared<MemoryStore>();
  Put("a.ckpt", "a");
  Put("b.ckpt", "b");
  EXPECT_THAT(Names(), HasSubstr("several PyTorch files that are no one set: a.ckpt, b.ckpt"));
}

TEST_F(TorchTest, HoldsIndexAndBinFilesAgainstEachOther) {
  Put("one.bin", "a");
  store_->Put("pytorch_model.bin.index.json", R"({"weight_map":{"a":"one.bin","b":"one.bin"}})");
  EXPECT_THAT(Names(), HasSubstr("tensor \"b\" is not in /memory/one.bin"));
  store_->Put("pytorch_model.bin.index.json", R"({"weight_map":{"a":"two.bin"}})");
  EXPECT_THAT(Names(), HasSubstr("missing: two.bin"));
  store_->Put("pytorch_model.bin.index.json", R"({"weight_map":{"a":"../one.bin"}})");
  EXPECT_FALSE(Open());
}

// --- Meta's shards

TEST_F(TorchTest, KeepsTheShardsApartUntilTheirFamilyIsKnown) {
  store_->Put("consolidated.00.pth", TorchZip({{"w", {1, 2}, "ab"}, {"n", {2}, "xy"}}));
  store_->Put("consolidated.01.pth", TorchZip({{"w", {1, 2}, "cd"}, {"n", {2}, "xy"}}));
  const auto catalog = Open();
  ASSERT_TRUE(catalog) << ErrorText(catalog);
  EXPECT_TRUE(catalog->tensors.empty());
  ASSERT_EQ(catalog->shards.size(), 2U);
  EXPECT_EQ(catalog->shards[1][1].pieces[0].object, 1U);
  EXPECT_TRUE(catalog->warnings.empty());
}

TEST_F(TorchTest, NamesShardsThatAreMissing) {
  Put("consolidated.02.pth", "w");
  EXPECT_THAT(
      Names(),
      HasSubstr("2 of the model's shards are missing: consolidated.00.pth, consolidated.01.pth"));
  Put("consolidated.00.pth", "w");
  Put("consolidated.01.pth", "w");
  store_->Put("checklist.chk",
              "0123  consolidated.02.pth\n4567  consolidated.03.pth\n89  params.json\n");
  EXPECT_THAT(Names(), HasSubstr("consolidated.03.pth"));
}

TEST_F(TorchTest, HoldsSmallFilesToTheChecklist) {
  Put("consolidated.00.pth", "w");
  store_->Put("params.json", "{}");
  store_->Put("checklist.chk",
              "99914B932BD37A50B983C5E7C90AE93B *params.json\n4567  consolidated.00.pth\n");
  const auto catalog = Open();
  ASSERT_TRUE(catalog) << ErrorText(catalog);
  EXPECT_TRUE(catalog->warnings.empty());
  EXPECT_THAT(catalog->unverified, testing::ElementsAre(HasSubstr("not made for the shards")));
  store_->Put("params.json", "{ }");
  EXPECT_THAT(Names(), testing::AllOf(HasSubstr("params.json"), HasSubstr("its MD5 is "),
                                      HasSubstr("says 99914b932bd37a50b983c5e7c90ae93b")));
}

TEST_F(TorchTest, RefusesShardsOfDifferentModels) {
  const auto with = [&](const std::vector<TorchTensor>& second) {
    store_->Put("consolidated.00.pth",
                TorchZip({{"w", {2, 2}, "abcd"}, {"n", {1}, "abcd", "FloatStorage", 4}}));
    store_->Put("consolidated.01.pth", TorchZip(second));
    return Names();
  };
  EXPECT_THAT(with({{"w", {2, 2}, "abcd"}}),
              HasSubstr("this one is only in /memory/consolidated.00.pth"));
  EXPECT_THAT(with({{"w", {4, 1}, "abcd"}, {"n", {1}, "abcd", "FloatStorage", 4}}),
              HasSubstr("U8 [2, 2] and U8 [4, 1]"));
  EXPECT_THAT(
      with({{"w", {2, 2}, "abcd"}, {"n", {1}, std::string("\0\0\x80\x3f", 4), "FloatStorage", 4}}),
      HasSubstr("differ by up to"));
}

TEST_F(TorchTest, RefusesTheFp8EditionOfMetasShards) {
  const std::string storage =
      pickle::StorageOp(pickle::GlobalOp("torch.storage", "UntypedStorage"), "0", 4);
  const std::string tensor = pickle::TensorOp(
      storage, 0, {4}, {1}, pickle::GlobalOp("torch", "float8_e4m3fn"), "_rebuild_tensor_v3");
  ZipBuilder zip;
  zip.Add("r/data.pkl", pickle::Pickle(pickle::Dict({{"w", tensor}}))).Add("r/data/0", "abcd");
  store_->Put("consolidated.00.pth", zip.Finish());
  EXPECT_THAT(Names(), HasSubstr("fp8_scales_*.pt"));
}

TEST_F(TorchTest, TakesTheFirstOfVectorsThatDifferALittle) {
  store_->Put("consolidated.00.pth",
              TorchZip({{"n", {1}, std::string("\0\0\x80\x3f", 4), "FloatStorage", 4}}));
  store_->Put("consolidated.01.pth",
              TorchZip({{"n", {1}, std::string("\1\0\x80\x3f", 4), "FloatStorage", 4}}));
  const auto catalog = Open();
  ASSERT_TRUE(catalog) << ErrorText(catalog);
  EXPECT_THAT(catalog->warnings, ElementsAre(HasSubstr("the first one's counts")));
}

// --- CRCs of what is read

TEST_F(TorchTest, CombinesTheCrcOfWhatIsReadInAnyOrderAndTwice) {
  std::string data;
  for (int i = 0; i < 100'000; ++i) data += static_cast<char>(i * 31 % 251);
  store_->Put("m.pth", TorchZip({{"a", {100'000}, data}, {"b", {4}, "abcd"}}));
  auto catalog = Open("m.pth");
  ASSERT_TRUE(catalog);
  for (const bool is_damaged : {false, true}) {
    if (is_damaged) catalog->checks[0].sum ^= 1;
    SourceChecks checks(*catalog);
    const ByteRange range = catalog->checks[0].range;
    const auto add = [&](uint64_t begin, uint64_t end) {
      checks.Add(0, range.begin + begin,
                 std::as_bytes(std::span(data)).subspan(begin, end - begin));
    };
    add(50'000, 60'000);
    add(0, 10);
    add(55'000, 70'000);
    add(5, 50'001);
    EXPECT_EQ(checks.Finish()->incomplete, 2U);
    add(60'000, 100'000);
    add(60'000, 100'000);
    const auto verdict = checks.Finish();
    EXPECT_EQ(verdict ? verdict->checked : 0, is_damaged ? 0U : 1U);
    EXPECT_THAT(ErrorText(verdict), HasSubstr(is_damaged ? "archive/data/0" : "no error"));
  }
}

TEST_F(TorchTest, WatchedReadersCountWhatTheyRead) {
  store_->Put("m.pth", TorchZip({{"a", {100'000}, std::string(100'000, 'a')}, {"b", {4}, "abcd"}}));
  auto catalog = Open("m.pth");
  ASSERT_TRUE(catalog);
  SourceChecks checks(*catalog);
  ReaderPool pool(*store_, *catalog, ReaderPool::kMostOpen, &checks);
  BoxReader reader(pool.Opener(), budget_);
  for (const TensorEntry& tensor : catalog->tensors) {
    std::vector<std::byte> bytes(tensor.size_bytes);
    ASSERT_TRUE(reader.Read(tensor, WholeBox(tensor.shape), bytes));
  }
  EXPECT_EQ(checks.Finish()->checked, 2U);
}

}  // namespace
}  // namespace ckpt
