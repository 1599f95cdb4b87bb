#include "format/pickle/legacy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/format/error_of.h"
#include "tests/unit/format/pickle_builder.h"

namespace ckpt::pickle {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const std::string kMagicPickle("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.", 15);

StateDict TwoStorages() {
  StateDict dict;
  dict.storages = {{"a", 4, 2, 8}, {"b", 3, 4, 12}};
  return dict;
}

template <class T>
void ExpectRefusal(const Result<T>& result, const std::string& words) {
  ASSERT_FALSE(result) << words;
  EXPECT_THAT(result.error().what, HasSubstr(words));
  EXPECT_EQ(result.error().code, Code::kBadInput);
  EXPECT_NE(PlaceOf(result, "byte"), "");
}

TEST(LegacyTorch, FindsTheEndOfAPickleAmongWhatFollows) {
  EXPECT_EQ(*FindPickleEnd(kMagicPickle + "more", 0), std::optional<uint64_t>(15));
  for (size_t cut = 0; cut < kMagicPickle.size(); ++cut)
    EXPECT_EQ(*FindPickleEnd(kMagicPickle.substr(0, cut), 0), std::optional<uint64_t>()) << cut;
  ExpectRefusal(FindPickleEnd("\x80\x02\xff", 100), "no opcode");
}

TEST(LegacyTorch, KnowsItsMagicAndVersion) {
  EXPECT_TRUE(CheckLegacyMagic(kMagicPickle, 0));
  ExpectRefusal(CheckLegacyMagic(Pickle(Int(5)), 0), "magic number");
  EXPECT_TRUE(CheckLegacyVersion(Pickle(Int(1001)), 15));
  ExpectRefusal(CheckLegacyVersion(Pickle(Int(1002)), 15), "version");
}

TEST(LegacyTorch, TakesTheByteOrderFromSysInfo) {
  EXPECT_EQ(DecodeLegacyBigEndian(Pickle(Dict({{"little_endian", "\x88"}})), 0), false);
  EXPECT_EQ(DecodeLegacyBigEndian(
                Pickle(Dict({{"protocol_version", Int(1001)}, {"little_endian", "\x89"}})), 0),
            true);
  ExpectRefusal(DecodeLegacyBigEndian(Pickle("}"), 0), "byte order");
}

TEST(LegacyTorch, PlacesStoragesInTheOrderOfTheKeys) {
  EXPECT_THAT(*DecodeLegacyKeys(Pickle("](" + Text("b") + Text("a") + "e"), 0),
              ElementsAre("b", "a"));
  ExpectRefusal(DecodeLegacyKeys(Pickle("}"), 0), "no list");
  ExpectRefusal(DecodeLegacyKeys(Pickle("]Na"), 0), "no string");
  const auto layout = PlaceLegacyStorages(TwoStorages(), {"b", "a"}, 100, 200);
  ASSERT_TRUE(layout) << ErrorText(layout);
  EXPECT_EQ(layout->storages[1], (ByteRange{108, 120}));
  EXPECT_EQ(layout->storages[0], (ByteRange{128, 136}));
  EXPECT_EQ(layout->counts_at[0], 120U);
  EXPECT_EQ(layout->end, 136U);
}

TEST(LegacyTorch, RefusesKeysThatDoNotFitThePickle) {
  ExpectRefusal(PlaceLegacyStorages(TwoStorages(), {"b"}, 0, 200), "no storage a");
  ExpectRefusal(PlaceLegacyStorages(TwoStorages(), {"b", "a", "c"}, 0, 200), "does not name");
  ExpectRefusal(PlaceLegacyStorages(TwoStorages(), {"b", "b", "a"}, 0, 200), "comes twice");
  ExpectRefusal(PlaceLegacyStorages(TwoStorages(), {"b", "a"}, 100, 135), "truncated");
  ExpectRefusal(PlaceLegacyStorages(TwoStorages(), {"b", "a"}, 100, 125), "truncated");
  EXPECT_TRUE(PlaceLegacyStorages(TwoStorages(), {"b", "a"}, 100, 136));
}

TEST(LegacyTorch, KnowsViewsOfStorages) {
  const std::string type = GlobalOp("torch", "FloatStorage");
  const auto with = [&](int64_t offset, int64_t size) {
    const std::string view = "(" + Text("v") + Int(offset) + Int(size) + "t";
    return DecodeStateDict(Pickle(TensorOp(StorageOp(type, "0", 16, "cpu", view), 1, {3}, {1})),
                           {});
  };
  EXPECT_EQ(with(4, 4)->tensors[0].offset_bytes, 20U);
  ExpectRefusal(with(4, 3), "reaches beyond");
  ExpectRefusal(with(14, 4), "does not lie in it");
}

}  // namespace
}  // namespace ckpt::pickle
