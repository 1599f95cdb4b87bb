#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <numeric>

#include "base/message_digest.h"
#include "format/ocdbt/tree_builder.h"
#include "tests/unit/format/error_of.h"
#include "tests/unit/format/hex.h"

namespace ckpt {
namespace {

using ::testing::HasSubstr;

const std::vector<std::string> kDataFiles = {"d/file1", "d/file0"};  // not in order

// The entries of make_ocdbt.py's trees that the expected bytes below come from.
std::vector<OcdbtEntry> Entries(int count) {
  std::vector<OcdbtEntry> entries;
  for (int i = 0; i < count; ++i) {
    OcdbtEntry entry{fmt::format("params.layers_{}.w/c/{}/0", i / 4, i % 4), {}};
    if (i % 3 == 0)
      entry.value = fmt::format("v{}", i);
    else
      entry.value = OcdbtRange{i % 2 == 0 ? 1U : 0U, 4096ULL * static_cast<uint64_t>(i),
                               100ULL + static_cast<uint64_t>(i)};
    entries.push_back(std::move(entry));
  }
  std::sort(entries.begin(), entries.end(),
            [](const OcdbtEntry& a, const OcdbtEntry& b) { return a.key < b.key; });
  return entries;
}

struct Tree {
  std::string nodes;
  std::string manifest;
};

Tree Build(std::vector<OcdbtEntry> entries, uint32_t node_bytes) {
  OcdbtConfig config;
  std::iota(config.uuid.begin(), config.uuid.end(), uint8_t{0});
  config.max_decoded_node_bytes = node_bytes;
  Tree tree;
  OcdbtTreeBuilder builder(
      kDataFiles, "d/nodes", config, [&](std::span<const std::byte> bytes) -> Result<void> {
        tree.nodes.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
        return {};
      });
  for (OcdbtEntry& entry : entries) {
    const auto added = builder.Add(std::move(entry));
    EXPECT_TRUE(added) << ErrorText(added);
  }
  auto manifest = builder.Finish();
  EXPECT_TRUE(manifest) << ErrorText(manifest);
  tree.manifest = *manifest;
  return tree;
}

// Reads a whole tree, holding every rule and every sum on the way.
class Walk {
 public:
  explicit Walk(const Tree& tree) : tree_(tree) {
    const auto manifest = DecodeOcdbtManifest(tree.manifest);
    EXPECT_TRUE(manifest) << ErrorText(manifest);
    const OcdbtVersion& version = *manifest->latest;
    EXPECT_EQ(version.file.path(), "d/nodes");
    height = version.root_height;
    EXPECT_EQ(version.offset + version.length, tree.nodes.size()) << "the root comes last";
    const OcdbtStatistics sums = Visit({0, version.offset, version.length}, height, "", "");
    EXPECT_EQ(sums, version.statistics);
  }

  std::map<std::string, std::string> values;  // "text" or "file offset+length"
  uint64_t nodes = 0;
  uint8_t height = 0;
  uint64_t inherited_bytes = 0;  // of all nodes' prefixes

 private:
  OcdbtStatistics Visit(OcdbtRange range, uint8_t node_height, const std::string& prefix,
                        const std::string& bound) {
    ++nodes;
    inherited_bytes += prefix.size();
    OcdbtStatistics sums{0, range.length, 0};
    uint64_t entries = 0;
    const auto decoded = DecodeOcdbtNode(
        std::string_view(tree_.nodes).substr(range.offset, range.length), node_height, "",
        1U << 20U, [&](const OcdbtNodeHeader& header, const OcdbtNodeEntry& entry) -> Result<void> {
          const std::string key = prefix + std::string(entry.key);
          if (entries++ == 0 && node_height < height) {
            EXPECT_EQ(key, bound);
          }
          if (const auto* child = std::get_if<OcdbtChild>(&entry.value)) {
            const auto below =
                Visit(child->range, static_cast<uint8_t>(node_height - 1),
                      prefix + std::string(entry.key.substr(0, child->prefix_bytes)), key);
            EXPECT_EQ(below, child->statistics);
            EXPECT_LE(child->range.offset, range.offset) << "children come before parents";
            sums.keys += below.keys;
            sums.tree_bytes += below.tree_bytes;
            sums.indirect_bytes += below.indirect_bytes;
          } else {
            ++sums.keys;
            Keep(header, key, entry, sums);
          }
          return {};
        });
    EXPECT_TRUE(decoded) << ErrorText(decoded);
    EXPECT_GE(entries, node_height > 0 ? 2U : 1U);
    return sums;
  }

  void Keep(const OcdbtNodeHeader& header, const std::string& key, const OcdbtNodeEntry& entry,
            OcdbtStatistics& sums) {
    if (const auto* text = std::get_if<OcdbtInline>(&entry.value)) {
      values[key] = text->bytes;
      return;
    }
    const auto& range = std::get<OcdbtRange>(entry.value);
    sums.indirect_bytes += range.length;
    values[key] =
        fmt::format("{} {}+{}", header.files[range.file].path(), range.offset, range.length);
  }

  const Tree& tree_;
};

std::map<std::string, std::string> Expected(const std::vector<OcdbtEntry>& entries) {
  std::map<std::string, std::string> values;
  for (const OcdbtEntry& entry : entries) {
    if (const auto* text = std::get_if<std::string>(&entry.value)) {
      values[entry.key] = *text;
    } else {
      const auto& range = std::get<OcdbtRange>(entry.value);
      values[entry.key] =
          fmt::format("{} {}+{}", kDataFiles[range.file], range.offset, range.length);
    }
  }
  return values;
}

// The reference is another program's: tests/golden/orbax/make_ocdbt.py, which writes a tree level
// by level; up to one interior node that is our order too.
TEST(OcdbtTree, HasTheBytesOfTheReference) {
  struct Case {
    int entries;
    uint32_t node_bytes;
    const char* nodes_sha256;
  };
  for (const Case& each :
       {Case{5, 8U << 20U, "3d110bd83a388c0bf1e8ba756e6dbea7a2dbc09447dd5534d62ac89b0d347910"},
        Case{40, 900, "76d09df15456323d78a1d59f3f73463c0d7097b194e97766dad7934635529ec4"},
        Case{40, 1500, "b307e0385772393418ad86a0da2377fc500e97b9328ddba151e6f344e44ef739"}}) {
    EXPECT_EQ(Sha256Hex(Build(Entries(each.entries), each.node_bytes).nodes), each.nodes_sha256)
        << each.entries << " entries, nodes of " << each.node_bytes;
  }
  OcdbtVersion version = *DecodeOcdbtManifest(Build(Entries(40), 900).manifest)->latest;
  EXPECT_EQ(version.root_height, 1);
  EXPECT_EQ(version.offset, 0x24bU);
  EXPECT_EQ(version.length, 0x6cU);
  EXPECT_EQ(version.statistics, (OcdbtStatistics{40, 695, 3107}));
  EXPECT_EQ(version.commit_time_ns, 1U);
  EXPECT_EQ(version.generation, 1U);
}

TEST(OcdbtTree, HoldsWhatWasAddedInAnyNumberOfLevels) {
  for (const int count : {1, 2, 3, 7, 40, 41, 200, 1000}) {
    for (const uint32_t node_bytes : {1U, 150U, 300U, 400U, 600U, 1500U, 8U << 20U}) {
      SCOPED_TRACE(fmt::format("{} entries, nodes of {}", count, node_bytes));
      const auto entries = Entries(count);
      const Tree tree = Build(entries, node_bytes);
      const Walk walk(tree);
      EXPECT_EQ(walk.values, Expected(entries));
      EXPECT_EQ(walk.nodes == 1, walk.height == 0);
    }
  }
}

TEST(OcdbtTree, GetsManyLevelsFromASmallLimitAndLeavesPrefixesOut) {
  const Tree tree = Build(Entries(1000), 300);
  const Walk walk(tree);
  EXPECT_GE(walk.height, 5);
  EXPECT_GT(walk.inherited_bytes, 10 * walk.nodes);
}

TEST(OcdbtTree, WithoutEntriesIsAManifestAlone) {
  const Tree tree = Build({}, 1000);
  EXPECT_EQ(tree.nodes, "");
  EXPECT_TRUE(DecodeOcdbtManifest(tree.manifest)->latest->is_empty());
}

TEST(OcdbtTree, RefusesWhatItCannotStore) {
  const auto add = [](std::vector<OcdbtEntry> entries) {
    OcdbtTreeBuilder builder(kDataFiles, "d/nodes", {},
                             [](std::span<const std::byte>) { return Result<void>(); });
    for (OcdbtEntry& entry : entries) {
      if (auto added = builder.Add(std::move(entry)); !added) return added.error().Print();
    }
    return std::string("accepted");
  };
  EXPECT_EQ(add({{"a", "x"}, {"b", "y"}}), "accepted");
  EXPECT_THAT(add({{"b", "x"}, {"a", "y"}}), HasSubstr("follows the key \"b\""));
  EXPECT_THAT(add({{"a", "x"}, {"a", "y"}}), HasSubstr("follows the key \"a\""));
  EXPECT_THAT(add({{std::string(65536, 'k'), "x"}}), HasSubstr("a key of 65536 bytes"));
  EXPECT_THAT(add({{"a", std::string((1U << 20U) + 1, 'x')}}),
              HasSubstr("an inline value of 1048577"));
  EXPECT_THAT(add({{"a", OcdbtRange{2, 0, 1}}}), HasSubstr("data file 2 of 2"));
  EXPECT_THAT(add({{"a", OcdbtRange{0, 1ULL << 63U, 1}}}),
              HasSubstr("at byte 9223372036854775808"));
}

TEST(OcdbtTree, PassesOnTheWritersError) {
  OcdbtTreeBuilder builder(kDataFiles, "d/nodes", {}, [](std::span<const std::byte>) {
    return Result<void>(Fail(Code::kIo, "disk full"));
  });
  ASSERT_TRUE(builder.Add({"a", "x"}));
  EXPECT_EQ(builder.Finish().error().what, "disk full");
}

}  // namespace
}  // namespace ckpt
