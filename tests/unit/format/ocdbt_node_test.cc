#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "format/ocdbt/node.h"
#include "tests/unit/format/error_of.h"
#include "tests/unit/format/ocdbt_builder.h"

namespace ckpt {
namespace {

using ::testing::HasSubstr;

constexpr uint64_t kMostDecoded = 1U << 20U;

// Each entry as a line, or the error.
std::string Lines(std::string_view node, uint8_t height, std::string_view transitive = "") {
  std::string lines;
  const auto range = [](const OcdbtNodeHeader& header, const OcdbtRange& at) {
    const OcdbtFile& file = header.files[at.file];
    return fmt::format("{}|{} {}+{}", file.base, file.relative, at.offset, at.length);
  };
  const auto decoded = DecodeOcdbtNode(
      node, height, transitive, kMostDecoded,
      [&](const OcdbtNodeHeader& header, const OcdbtNodeEntry& entry) -> Result<void> {
        lines += fmt::format("{} ", entry.key);
        if (const auto* text = std::get_if<OcdbtInline>(&entry.value)) {
          lines += fmt::format("\"{}\"\n", text->bytes);
        } else if (const auto* at = std::get_if<OcdbtRange>(&entry.value)) {
          lines += range(header, *at) + "\n";
        } else {
          const auto& child = std::get<OcdbtChild>(entry.value);
          lines += fmt::format("[{}] {} {},{},{}\n", child.prefix_bytes, range(header, child.range),
                               child.statistics.keys, child.statistics.tree_bytes,
                               child.statistics.indirect_bytes);
        }
        return {};
      });
  return decoded ? lines : decoded.error().Print();
}

std::string NodeLines(std::string_view body_hex, uint8_t height = 0) {
  return Lines(SealBody(kNodeMagicHex, FromHex(body_hex)), height);
}

const std::vector<OcdbtFile> kFiles = {{"", "d/two"}, {"ocdbt.process_0/", "d/one"}};
const std::vector<OcdbtLeafItem> kItems = {{"a/.zarray", std::string_view("{}")},
                                           {"a/0.0", OcdbtRange{0, 4096, 300}},
                                           {"a/0.1", OcdbtRange{1, 0, 5}},
                                           {"b/.zarray", std::string_view("xyz")}};

// The reference is another program's: tests/golden/orbax/make_ocdbt.py.
TEST(OcdbtNode, LeafIsWrittenAsTheReferenceWritesIt) {
  EXPECT_EQ(
      EncodeOcdbtLeaf(kItems, 0, kFiles),
      FromHex("0cdb20de6400000000000000000000020005150010642f74776f6f636462742e70726f636573735f"
              "302f642f6f6e650402040009030109612f2e7a6172726179302e3031622f2e7a617272617902ac02"
              "05030001010000018020007b7d78797a4d37430c"));
  EXPECT_EQ(
      EncodeOcdbtLeaf(std::span(kItems).first(3), 2, kFiles),
      FromHex("0cdb20de5200000000000000000000020005150010642f74776f6f636462742e70726f636573735f"
              "302f642f6f6e650300020703012e7a6172726179302e303102ac020500010100018020007b7ddc06"
              "8579"));
}

TEST(OcdbtNode, InteriorIsWrittenAsTheReferenceWritesIt) {
  const std::vector<OcdbtFile> files = {{"", "d/other"}, {"", "d/nodes"}};
  const std::vector<OcdbtChildItem> items = {{"a/.zarray", {2, {1, 0, 70}, {3, 70, 305}}},
                                             {"a/b", {3, {1, 70, 60}, {2, 60, 11}}},
                                             {"b", {1, {0, 1ULL << 40U, 200}, {1, 200, 0}}}};
  EXPECT_EQ(
      EncodeOcdbtInterior(1, items, 0, files),
      FromHex("0cdb20de5300000000000000000001020207050000642f6e6f6465736f746865720302000901010203"
              "01612f2e7a617272617962620000010046808080808020463cc801030201463cc801b1020b00ed38"
              "47e6"));
  EXPECT_EQ(
      EncodeOcdbtInterior(3, std::span(items).first(2), 2, files),
      FromHex("0cdb20de3800000000000000000003010700642f6e6f6465730200070100012e7a617272617962000000"
              "46463c0302463cb1020bbffae4cd"));
}

TEST(OcdbtNode, IsReadBack) {
  EXPECT_EQ(Lines(EncodeOcdbtLeaf(kItems, 0, kFiles), 0),
            "a/.zarray \"{}\"\na/0.0 |d/two 4096+300\na/0.1 ocdbt.process_0/|d/one 0+5\n"
            "b/.zarray \"xyz\"\n");
  const std::vector<OcdbtChildItem> children = {{"ab", {1, {0, 9, 70}, {3, 70, 305}}},
                                                {"b", {1, {0, 79, 60}, {2, 60, 11}}}};
  EXPECT_EQ(Lines(EncodeOcdbtInterior(2, children, 0, kFiles), 2),
            "ab [1] |d/two 9+70 3,70,305\nb [1] |d/two 79+60 2,60,11\n");
}

TEST(OcdbtNode, FindsItsFilesBelowTheBaseOfItsOwnFile) {
  EXPECT_THAT(Lines(EncodeOcdbtLeaf(kItems, 0, kFiles), 0, "copied/"),
              HasSubstr("a/0.0 copied/|d/two 4096+300\na/0.1 copied/ocdbt.process_0/|d/one 0+5"));
}

TEST(OcdbtNode, NeedNotShareAllThatKeysHaveInCommon) {
  EXPECT_EQ(NodeLines("00 00 02 00 02 02 6161 6162 01 01 00 00 78 79"), "aa \"x\"\nab \"y\"\n");
}

TEST(OcdbtNode, MayHoldAnInlineValueOf1MiBAndNoMore) {
  const std::string most(kOcdbtMaxInlineBytes, 'x');
  const std::string more = most + "x";
  const auto keys = [](std::string_view node) {
    uint64_t count = 0;
    const auto decoded =
        DecodeOcdbtNode(node, 0, "", 4 * kMostDecoded,
                        [&](const OcdbtNodeHeader&, const OcdbtNodeEntry&) -> Result<void> {
                          ++count;
                          return {};
                        });
    return decoded ? std::to_string(count) : decoded.error().what;
  };
  const std::vector<OcdbtLeafItem> good = {{"a", std::string_view(most)}};
  const std::vector<OcdbtLeafItem> bad = {{"a", std::string_view(more)}};
  EXPECT_EQ(keys(EncodeOcdbtLeaf(good, 0, {})), "1");
  EXPECT_THAT(keys(EncodeOcdbtLeaf(bad, 0, {})), HasSubstr("an inline value of 1048577 bytes"));
}

TEST(OcdbtNode, RefusesEachDamageOfALeaf) {
  EXPECT_EQ(NodeLines("00 00 01 01 61 01 00 78"), "a \"x\"\n");
  EXPECT_THAT(NodeLines("00 00 01 01 61 01 00 78", 1),
              HasSubstr("a node of height 0 where one of 1"));
  EXPECT_THAT(NodeLines("00 00 00"), HasSubstr("a node of 0 entries"));
  EXPECT_THAT(NodeLines("00 00 818040"), HasSubstr("a node of 1048577 entries"));
  EXPECT_THAT(NodeLines("00 00 8001 01"), HasSubstr("128 entries cannot fit"));
  EXPECT_THAT(NodeLines("00 00 02 02 0101 6162 0101 0000 7879"),
              HasSubstr("shares more bytes than the key before has"));
  EXPECT_THAT(NodeLines("00 00 02 00 0101 6261 0101 0000 7879"),
              HasSubstr("keys are not in order"));
  EXPECT_THAT(NodeLines("00 00 02 00 0101 6161 0101 0000 7879"),
              HasSubstr("keys are not in order"));
  EXPECT_THAT(NodeLines("00 00 02 01 0100 61 0101 0000 7879"), HasSubstr("keys are not in order"));
  EXPECT_THAT(NodeLines("00 00 01 0a 61 01 00 78"), HasSubstr("truncated: 10 bytes are needed"));
  EXPECT_THAT(NodeLines("00 00 01 01 61 01 02 78"), HasSubstr("value kind 2"));
  EXPECT_THAT(NodeLines("00 00 01 01 61 05 00 78"), HasSubstr("truncated: 5 bytes are needed"));
  EXPECT_THAT(NodeLines("00 00 01 01 61 01 01 00 00"), HasSubstr("data file 0 of 0"));
  EXPECT_THAT(NodeLines("00 01 01 00 66 01 01 61 01 01 01 00"), HasSubstr("data file 1 of 1"));
  EXPECT_THAT(NodeLines("00 01 01 00 66 01 01 61 01 01 00 ffffffffffffffff7f"),
              HasSubstr("a range at byte 9223372036854775807 of 1"));
  EXPECT_THAT(NodeLines("00 00 01 01 61 01 00 78 79"), HasSubstr("1 bytes follow the end"));
  EXPECT_THAT(NodeLines("00 00 01 01 61"), HasSubstr("cannot fit"));
}

TEST(OcdbtNode, RefusesEachDamageOfAnInteriorNode) {
  const std::string_view good = "01 01 01 00 66 01 02 01 6162 00 05 06 01 06 00";
  EXPECT_EQ(NodeLines(good, 1), "ab [1] |f 5+6 1,6,0\n");
  EXPECT_THAT(NodeLines("01 01 01 00 66 01 02 03 6162 00 05 06 01 06 00", 1),
              HasSubstr("a subtree's prefix is longer than its key"));
  EXPECT_THAT(NodeLines("01 01 01 00 66 01 02 01 6162 01 05 06 01 06 00", 1),
              HasSubstr("data file 1 of 1"));
  EXPECT_THAT(NodeLines("01 01 01 00 66 01 02 01 6162 00 05 ffffffffffffffff7f 01 06 00", 1),
              HasSubstr("a range at byte 5"));
  EXPECT_THAT(NodeLines("01 01 01 00 66 01 02 01 6162 00 05 06 01 06", 1), HasSubstr("cannot fit"));
  EXPECT_THAT(NodeLines("01 01 01 00 66 01 02 01 6162 00 05 06 01 06 00 00", 1),
              HasSubstr("1 bytes follow the end"));
}

TEST(OcdbtNode, RefusesKeysLongerThan65535Bytes) {
  // 65000 bytes, then 600 more after 65000 shared ones.
  const std::string body = FromHex("00 00 02 e8fb03 e8fb03 d804") + std::string(65000, 'a') +
                           std::string(600, 'b') + FromHex("0000 0000");
  EXPECT_THAT(Lines(SealBody(kNodeMagicHex, body), 0), HasSubstr("a key of 65600 bytes"));
}

TEST(OcdbtNode, DecodesNoMoreThanItMay) {
  std::string body = FromHex("00 00 01 01 61 ac02 00") + std::string(300, 'x');
  const std::string node = SealBody(kNodeMagicHex, StoredFrame(body), std::string_view("\0\1", 2));
  EXPECT_THAT(Lines(node, 0), HasSubstr("a \"xxx"));
  const auto visit = [](const OcdbtNodeHeader&, const OcdbtNodeEntry&) { return Result<void>(); };
  EXPECT_TRUE(DecodeOcdbtNode(node, 0, "", body.size(), visit));
  EXPECT_THAT(ErrorText(DecodeOcdbtNode(node, 0, "", body.size() - 1, visit)),
              HasSubstr("decodes to more than 307 bytes"));
}

}  // namespace
}  // namespace ckpt
