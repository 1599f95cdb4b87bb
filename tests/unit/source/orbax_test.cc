#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "base/units.h"
#include "format/ocdbt/node.h"
#include "source/box_reader.h"
#include "source/open.h"
#include "source/reader_pool.h"
#include "tests/unit/format/error_of.h"
#include "tests/unit/format/ocdbt_builder.h"
#include "tests/unit/source/orbax_builder.h"

namespace ckpt {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr uint64_t kBudgetBytes = 64 * kMiB;

// Two arrays: "w" of three chunks, "v" of one.
OrbaxBuilder Small(ZarrForm form = ZarrForm::kV3) {
  OrbaxBuilder builder;
  ZarrArrayMeta w = MakeZarrMeta(form, DType::kU8, {60}, {20});
  ZarrArrayMeta v = MakeZarrMeta(form, DType::kU8, {4}, {4});
  builder.Array("v", v).Chunk("v", v, 0, "abcd").Array("w", w);
  for (uint64_t i = 0; i < 3; ++i) builder.Chunk("w", w, i, Counting(20, 20 * i));
  return builder;
}

class OrbaxSource : public ::testing::Test {
 protected:
  Result<Catalog> Open(const std::string& object = "") {
    auto catalog = OpenSource({store_, object}, budget_);
    EXPECT_EQ(budget_.used_bytes(), 0U);
    return catalog;
  }
  std::string Names(const std::string& object = "") {
    const auto catalog = Open(object);
    if (!catalog) return ErrorText(catalog);
    std::string names;
    for (const TensorEntry& tensor : catalog->tensors)
      names += (names.empty() ? "" : " ") + tensor.name;
    return names;
  }
  // Every tensor's elements.
  std::string Elements(const std::string& object = "") {
    const auto catalog = Open(object);
    if (!catalog) return ErrorText(catalog);
    ReaderPool pool(*store_, *catalog);
    BoxReader reader(pool.Opener(), budget_);
    std::string all;
    for (const TensorEntry& tensor : catalog->tensors) {
      std::string out(tensor.size_bytes, '?');
      const auto read =
          reader.Read(tensor, {std::vector<uint64_t>(tensor.shape.rank(), 0), tensor.shape.extents},
                      std::as_writable_bytes(std::span(out)));
      if (!read) return ErrorText(read);
      all += out;
    }
    return all;
  }

  std::shared_ptr<MemoryStore> store_ = std::make_shared<MemoryStore>();
  MemoryBudget budget_{kBudgetBytes};
};

TEST_F(OrbaxSource, ReadsFilesAndDatabasesOfBothVersions) {
  for (const ZarrForm form : {ZarrForm::kV2, ZarrForm::kV3}) {
    Small(form).PutFiles(*store_, "files/");
    Small(form).PutDatabase(*store_, "base/");
    Small(form).PutDatabase(*store_, "levels/", 16, 100);
    for (const char* folder : {"files", "base", "levels"}) {
      EXPECT_EQ(Names(folder), "params/v params/w") << folder;
      EXPECT_EQ(Elements(folder), "abcd" + Counting(60)) << folder;
      EXPECT_THAT(Open(folder)->warnings, IsEmpty());
    }
  }
}

TEST_F(OrbaxSource, SaysWhereTheChunksLie) {
  Small().PutDatabase(*store_, "");
  const auto catalog = Open();
  ASSERT_TRUE(catalog) << ErrorText(catalog);
  const TensorEntry& w = catalog->tensors[1];
  EXPECT_FALSE(IsContiguous(w));
  EXPECT_EQ(w.size_bytes, 60U);
  EXPECT_EQ(StoredBytes(w), 60U);
  EXPECT_EQ(w.chunked->chunk, Shape{20});
  ASSERT_EQ(w.chunked->chunks.size(), 3U);
  EXPECT_EQ(catalog->objects[w.chunked->chunks[2].object].name, "d/data");
  EXPECT_EQ(w.chunked->chunks[2].length, 20U);
  const TensorEntry& v = catalog->tensors[0];
  EXPECT_EQ(v.chunked->chunks[0].object, kInlineChunk);
  EXPECT_EQ(v.chunked->inline_bytes, "abcd");
  Catalog without = *catalog;
  without.tensors[1].chunked = nullptr;
  EXPECT_GE(MemoryBytes(*catalog), MemoryBytes(without) + 3 * sizeof(StoredChunk));
}

TEST_F(OrbaxSource, FindsTheItemFromTheFoldersAboveIt) {
  Small().PutDatabase(*store_, "run/7/items/");
  Small().PutDatabase(*store_, "run/12/default/");
  Small().PutDatabase(*store_, "run/300.orbax-checkpoint-tmp-17/items/");
  store_->Put("run/500/metrics", "{}");
  EXPECT_EQ(Names("run/7"), "params/v params/w");
  EXPECT_EQ(Names("run/7/items/"), "params/v params/w");
  EXPECT_EQ(Names("run/7/items/manifest.ocdbt"), "params/v params/w");
  const auto catalog = Open("run");
  ASSERT_TRUE(catalog) << ErrorText(catalog);
  EXPECT_THAT(catalog->objects[0].name, HasSubstr("run/12/default/"));
}

TEST_F(OrbaxSource, FindsTheHighestStepInEveryFormOfName) {
  Small().PutDatabase(*store_, "a/checkpoint_9/items/");
  Small().PutDatabase(*store_, "a/checkpoint_0010/items/");
  EXPECT_THAT(Open("a")->objects[0].name, HasSubstr("a/checkpoint_0010/"));
  Small().PutDatabase(*store_, "a/10/items/");
  EXPECT_THAT(Names("a"), HasSubstr("two folders are step 10"));
}

TEST_F(OrbaxSource, TakesTheOnlyItemBelowAndRefusesToChoose) {
  Small().PutDatabase(*store_, "final/unscanned/0/checkpoints/0/items/");
  EXPECT_EQ(Names(""), "params/v params/w");
  Small().PutDatabase(*store_, "final/scanned/x/items/");
  EXPECT_THAT(Names(""), HasSubstr("several Orbax checkpoints lie here: final/scanned/x/items/"));
}

TEST_F(OrbaxSource, RefusesACheckpointThatIsBeingWritten) {
  Small().PutDatabase(*store_, "0.orbax-checkpoint-tmp-123/items.orbax-checkpoint-tmp-5/");
  EXPECT_THAT(Names(""), HasSubstr("still being written"));
  EXPECT_THAT(Names("0.orbax-checkpoint-tmp-123/items.orbax-checkpoint-tmp-5"),
              HasSubstr("still being written"));
}

// A store that says it is a bucket.
class BucketStore : public MemoryStore {
 public:
  const Uri& root() const override { return root_; }

 private:
  const Uri root_ = *Uri::Parse("gs://bucket/checkpoints");
};

TEST_F(OrbaxSource, AsksForTheMarkerOnABucketAndNowhereElse) {
  store_ = std::make_shared<BucketStore>();
  Small().PutDatabase(*store_, "run/7/items/");
  Small().PutDatabase(*store_, "run/8/items/");
  EXPECT_THAT(Names("run/7"), HasSubstr("has no commit_success.txt"));
  EXPECT_THAT(Names("run/7/items"), HasSubstr("gs://bucket/checkpoints/run/7/items/"));
  store_->Put("run/7/commit_success.txt", "");
  store_->Put("run/7/items/commit_success.txt", "");
  EXPECT_EQ(Names("run/7"), "params/v params/w");
  const auto catalog = Open("run");
  ASSERT_TRUE(catalog) << ErrorText(catalog);
  EXPECT_THAT(catalog->objects[0].name, HasSubstr("run/7/")) << "step 8 is not finished";
}

TEST_F(OrbaxSource, TakesTheTreeFromTheAggregateOrGuessesItWithAWarning) {
  Small().PutDatabase(*store_, "");
  ASSERT_TRUE(store_->Remove("_METADATA"));
  auto catalog = Open();
  ASSERT_TRUE(catalog) << ErrorText(catalog);
  EXPECT_EQ(Names(), "params/v params/w");
  EXPECT_THAT(catalog->warnings, ElementsAre(HasSubstr("the tree is guessed")));
  // The aggregate knows that a dot is part of a key.
  store_->Put("checkpoint", FromHex("82 a8") + "params.v" + FromHex("b6") +
                                "PLACEHOLDER://params.v" + FromHex("a8") + "params.w" +
                                FromHex("b6") + "PLACEHOLDER://params.w");
  EXPECT_EQ(Names(), "params.v params.w");
  catalog = Open();
  EXPECT_THAT(catalog->warnings, ElementsAre(HasSubstr("its file \"checkpoint\"")));
}

TEST_F(OrbaxSource, ReadsArraysOfAnotherVersionThanTheTreeSays) {
  OrbaxBuilder builder = Small();
  builder.metadata.use_zarr3 = false;
  builder.PutDatabase(*store_, "");
  EXPECT_EQ(Elements(), "abcd" + Counting(60));
  EXPECT_THAT(Open()->warnings, ElementsAre(HasSubstr("another version of zarr")));
}

TEST_F(OrbaxSource, NotesLeavesWithoutData) {
  OrbaxBuilder builder = Small();
  builder.metadata.leaves.push_back({{{"opt", false}, {"0", true}}, "None", true});
  builder.metadata.leaves.push_back({{{"note", false}}, "string", false});
  builder.PutDatabase(*store_, "");
  const auto catalog = Open();
  ASSERT_TRUE(catalog) << ErrorText(catalog);
  EXPECT_EQ(catalog->empty_leaves,
            (std::map<std::string, std::string>{{"note", "string"}, {"opt/0", "None"}}));
  EXPECT_EQ(catalog->tensors.size(), 2U);
}

TEST_F(OrbaxSource, ReadsTheNumberedManifestWithTheHighestNumber) {
  Small().PutDatabase(*store_, "");
  const std::string state = store_->Get("manifest.ocdbt");
  // The same settings, and the kind that says where the state is.
  std::string config = BodyOf(state).substr(0, 16) + FromHex("01 8008 80808004 04 00");
  store_->Put("manifest.ocdbt", SealBody(kManifestMagicHex, config));
  EXPECT_THAT(Names(), HasSubstr("there are none"));
  store_->Put("manifest.0000000000000009", "old");
  store_->Put("manifest.000000000000000a", state);
  store_->Put("manifest.00000000000000zz", "other");
  EXPECT_EQ(Elements(), "abcd" + Counting(60));
  config[0] = 1;  // another uuid
  store_->Put("manifest.ocdbt", SealBody(kManifestMagicHex, config));
  EXPECT_THAT(Names(), HasSubstr("does not belong to manifest.ocdbt"));
  EXPECT_THAT(Names(), HasSubstr("manifest.000000000000000a"));
}

TEST_F(OrbaxSource, FollowsBasePathsOfCopiedTrees) {
  // A root in d/root whose child lies in proc_0/d/node: its values lie below proc_0/ too.
  Small().PutDatabase(*store_, "proc_0/", 16);
  const OcdbtManifest manifest = *DecodeOcdbtManifest(store_->Get("proc_0/manifest.ocdbt"));
  const OcdbtVersion& below = *manifest.latest;
  const std::vector<OcdbtFile> files = {{"proc_0/", "d/nodes"}};
  const std::vector<OcdbtChildItem> items = {
      {"params.", {0, {0, below.offset, below.length}, below.statistics}}};
  const std::string root = EncodeOcdbtInterior(1, items, 0, files);
  OcdbtVersion version = below;
  version.file = {"", "d/root"};
  version.root_height = 1;
  version.offset = 0;
  version.length = root.size();
  store_->Put("d/root", root);
  store_->Put("manifest.ocdbt", EncodeOcdbtManifest({}, version));
  store_->Put("_METADATA", store_->Get("proc_0/_METADATA"));
  EXPECT_EQ(Elements(), "abcd" + Counting(60));
}

// --- damage

TEST_F(OrbaxSource, NamesWhatIsMissing) {
  Small().PutDatabase(*store_, "");
  ASSERT_TRUE(store_->Remove("d/data"));
  EXPECT_THAT(Names(), HasSubstr("a data file of the checkpoint is missing"));
  EXPECT_THAT(Names(), HasSubstr("file    /memory/d/data"));
  Small().PutDatabase(*store_, "");
  ASSERT_TRUE(store_->Remove("d/nodes"));
  EXPECT_THAT(Names(), HasSubstr("file    /memory/d/nodes"));
  Small().PutDatabase(*store_, "");
  ASSERT_TRUE(store_->Remove("manifest.ocdbt"));
  EXPECT_THAT(Names(), HasSubstr("has no manifest.ocdbt, and no arrays as files"));

  store_ = std::make_shared<MemoryStore>();
  OrbaxBuilder builder = Small();
  builder.values.erase("params.w/c/1");
  builder.PutDatabase(*store_, "");
  EXPECT_THAT(Names(), HasSubstr("the array has 3 chunks, only 2 are stored"));
  builder.values["params.w/c/x"] = "another";
  builder.PutDatabase(*store_, "");
  EXPECT_THAT(Names(), HasSubstr("1 chunks of the array are missing"));
  EXPECT_THAT(Names(), HasSubstr("key     params.w/c/1"));
  builder.values.erase("params.w/zarr.json");
  builder.PutDatabase(*store_, "");
  EXPECT_THAT(Names(), HasSubstr("the array's metadata is missing"));
  EXPECT_THAT(Names(), HasSubstr("tensor  params/w"));
}

TEST_F(OrbaxSource, RefusesChunksThatCannotBeWhatTheyShould) {
  OrbaxBuilder builder = Small();
  builder.values["params.w/c/1"] = Counting(21);
  builder.PutDatabase(*store_, "");
  EXPECT_THAT(Names(), HasSubstr("a chunk of 21 bytes where one of 20 belongs"));
  EXPECT_THAT(Names(), HasSubstr("key     params.w/c/1"));
  builder.values["params.w/c/1"] = "";
  builder.PutDatabase(*store_, "");
  EXPECT_THAT(Names(), HasSubstr("a chunk of 0 bytes"));
  Small().PutDatabase(*store_, "");
  store_->Put("d/data", store_->Get("d/data").substr(0, 30));
  EXPECT_THAT(Names(), HasSubstr("truncated"));
  EXPECT_THAT(Names(), HasSubstr("file    /memory/d/data"));
}

// A checkpoint whose manifest points at a root that the test wrote.
class OrbaxTreeDamage : public OrbaxSource {
 protected:
  std::string Refusal(const std::string& root, uint8_t height, uint64_t offset = 0,
                      std::optional<uint64_t> length = {}) {
    OcdbtVersion version;
    version.root_height = height;
    version.file = {"", "d/nodes"};
    version.offset = offset;
    version.length = length.value_or(root.size());
    version.statistics.keys = 1;
    store_->Put("d/nodes", root);
    store_->Put("manifest.ocdbt", EncodeOcdbtManifest({}, version));
    store_->Put("_METADATA", EncodeOrbaxMetadata({}));
    const auto catalog = Open();
    if (!catalog) {
      EXPECT_EQ(catalog.error().code, Code::kBadInput);
    }
    return ErrorText(catalog);
  }
  // The child that an interior node names lies in its own file.
  static std::string Interior(uint8_t height, std::vector<OcdbtChildItem> items) {
    const std::vector<OcdbtFile> files = {{"", "d/nodes"}};
    return EncodeOcdbtInterior(height, items, 0, files);
  }
};

TEST_F(OrbaxTreeDamage, NamesTheNode) {
  const std::string leaf =
      EncodeOcdbtLeaf(std::vector<OcdbtLeafItem>{{"a", std::string_view("x")}}, 0, {});
  EXPECT_EQ(Refusal(leaf, 0), "(no error)");
  std::string damaged = leaf;
  damaged[20] = static_cast<char>(damaged[20] ^ 1);
  EXPECT_THAT(Refusal("padding" + damaged, 0, 7, leaf.size()), HasSubstr("checksum (CRC-32C)"));
  EXPECT_THAT(Refusal("padding" + damaged, 0, 7, leaf.size()),
              HasSubstr("byte    7 of the file, where the node begins"));
  EXPECT_THAT(Refusal("padding" + damaged, 0, 7, leaf.size()),
              HasSubstr("file    /memory/d/nodes"));
  EXPECT_THAT(Refusal(leaf, 0, 1, leaf.size()), HasSubstr("truncated"));
  EXPECT_THAT(Refusal(leaf, 0, 1ULL << 40U, leaf.size()), HasSubstr("truncated"));
  EXPECT_THAT(Refusal(leaf, 0, 0, 65 * kMiB), HasSubstr("a node of 68.2 MB, at most 64 MiB"));
  EXPECT_THAT(Refusal(leaf, 1), HasSubstr("a node of height 0 where one of 1"));
  EXPECT_THAT(Refusal(leaf, 17), HasSubstr("a tree of height 17"));
}

TEST_F(OrbaxTreeDamage, EndsATreeThatPointsAtItself) {
  OcdbtChildItem child{"a", {0, {0, 0, 0}, {1, 1, 0}}};
  const uint64_t size = Interior(3, {child}).size();
  child.child.range.length = size;
  const std::string self = Interior(3, {child});
  ASSERT_EQ(self.size(), size);
  EXPECT_THAT(Refusal(self, 3), HasSubstr("a node of height 3 where one of 2"));
}

TEST_F(OrbaxTreeDamage, RefusesAChildBelowItsBoundAndKeysThatComeTwice) {
  const std::string leaf =
      EncodeOcdbtLeaf(std::vector<OcdbtLeafItem>{{"b", std::string_view("x")}}, 0, {});
  const OcdbtRange at{0, 0, leaf.size()};
  std::string root = Interior(1, {{"c", {0, at, {1, leaf.size(), 0}}}});
  EXPECT_THAT(Refusal(leaf + root, 1, leaf.size(), root.size()),
              HasSubstr("lies before what its parent promises"));
  root = Interior(1, {{"a", {0, at, {1, leaf.size(), 0}}}, {"b", {0, at, {1, leaf.size(), 0}}}});
  EXPECT_THAT(Refusal(leaf + root, 1, leaf.size(), root.size()),
              HasSubstr("keys are not in order"));
}

TEST_F(OrbaxTreeDamage, RefusesPathsThatLeadElsewhere) {
  for (const char* path : {"/etc/passwd", "../x", "d/../../x", "d//x", ""}) {
    const std::vector<OcdbtFile> files = {{"", path}};
    const std::string leaf =
        EncodeOcdbtLeaf(std::vector<OcdbtLeafItem>{{"a", OcdbtRange{0, 0, 1}}}, 0, files);
    EXPECT_THAT(Refusal(leaf, 0), HasSubstr("unsafe name")) << path;
  }
}

TEST_F(OrbaxTreeDamage, KeepsItsMemoryWhateverANodeSays) {
  // 30000 keys of 65,000 bytes each, which share all but their last three bytes: 2 GB of keys from
  // some 300 KB.
  std::string body = FromHex("00 00 b0ea01");
  std::string lengths;
  std::string keys(64997, 'k');
  for (int i = 0; i < 30000; ++i) {
    if (i > 0) body += FromHex("e5fb03");
    lengths += i == 0 ? FromHex("e8fb03") : FromHex("03");
    keys += fmt::format("{}{}{}", static_cast<char>('0' + i / 1000),
                        static_cast<char>('0' + i / 40 % 25), static_cast<char>('0' + i % 40));
  }
  body += lengths + keys + std::string(60000, '\0');
  const std::string node = SealBody(kNodeMagicHex, body);
  OcdbtVersion version;
  version.file = {"", "d/nodes"};
  version.offset = 0;
  version.length = node.size();
  store_->Put("d/nodes", node);
  store_->Put("manifest.ocdbt", EncodeOcdbtManifest({}, version));
  store_->Put("_METADATA", EncodeOrbaxMetadata({}));
  const auto catalog = Open();
  EXPECT_EQ(catalog.error().code, Code::kResources) << ErrorText(catalog);
  EXPECT_THAT(ErrorText(catalog), HasSubstr("list of keys"));
  EXPECT_LE(budget_.peak_bytes(), kBudgetBytes);
}

TEST_F(OrbaxTreeDamage, AllocatesNoTableOfChunksThatAreNotThere) {
  OrbaxBuilder builder = Small();
  builder.values["params.w/zarr.json"] =
      EncodeZarrMeta(MakeZarrMeta(ZarrForm::kV3, DType::kU8, {100000000}, {1}));
  builder.PutDatabase(*store_, "");
  EXPECT_THAT(Names(), HasSubstr("the array has 100000000 chunks, only 3 are stored"));
  builder.metadata.stores_fill_chunks = false;
  builder.PutDatabase(*store_, "");
  EXPECT_EQ(Open().error().code, Code::kResources);
  EXPECT_LE(budget_.peak_bytes(), kBudgetBytes);
}

// Bit flips, cuts and overwritten bytes of every file: a clear error, or what cannot be noticed.
TEST_F(OrbaxSource, EndsAnyDamageWithAClearErrorOrTheSameElements) {
  OrbaxBuilder builder;
  for (const char* name : {"a", "b", "c"}) {
    ZarrArrayMeta meta = MakeZarrMeta(ZarrForm::kV3, DType::kBF16, {9, 7}, {4, 4});
    meta.codecs.has_crc32c = true;
    builder.Array(name, meta);
    for (uint64_t i = 0; i < 6; ++i)
      builder.Chunk(name, meta, i, WithCrc(Counting(32, 7 * i + static_cast<uint8_t>(*name))));
  }
  builder.PutDatabase(*store_, "", 16, 300);
  const std::string expected = Elements();
  ASSERT_EQ(expected.size(), 3U * 9 * 7 * 2);
  std::mt19937 random(5);
  const std::vector<std::string> files = {"manifest.ocdbt", "d/nodes", "d/data", "_METADATA"};
  int refused = 0;
  for (int round = 0; round < 400; ++round) {
    const std::string& name = files[random() % files.size()];
    const std::string good = store_->Get(name);
    std::string damaged = good;
    const size_t at = random() % damaged.size();
    switch (random() % 3) {
      case 0:
        damaged[at] = static_cast<char>(damaged[at] ^ (1 << random() % 8));
        break;
      case 1:
        damaged.resize(at);
        break;
      default:
        for (size_t i = at; i < std::min(at + 4, damaged.size()); ++i)
          damaged[i] = static_cast<char>(random());
    }
    store_->Put(name, damaged);
    const auto catalog = Open();
    const std::string found = Elements();
    if (!catalog || found.starts_with("ckpt: ")) {
      ++refused;
      EXPECT_THAT(found, HasSubstr("remedy"));
      EXPECT_THAT(found, HasSubstr("file  ")) << found;
    } else if (name != "_METADATA") {
      EXPECT_EQ(found, expected) << name << " at " << at;
    }
    store_->Put(name, good);
  }
  EXPECT_GT(refused, 250);
}

}  // namespace
}  // namespace ckpt
