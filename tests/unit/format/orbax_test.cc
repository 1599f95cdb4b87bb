#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "format/orbax/metadata.h"
#include "format/orbax/msgpack.h"
#include "format/orbax/tree.h"
#include "tests/unit/format/error_of.h"
#include "tests/unit/format/hex.h"

namespace ckpt {
namespace {

using ::testing::HasSubstr;

// Keys that are numbers with a '#' are indexes: {"opt", "#0"}.
OrbaxLeaf Leaf(const std::vector<std::string>& names, std::string type = "jax.Array",
               bool is_skipped = false) {
  OrbaxLeaf leaf{{}, std::move(type), is_skipped};
  for (const std::string& name : names) {
    const bool is_sequence = name.size() > 1 && name[0] == '#';
    leaf.path.push_back({is_sequence ? name.substr(1) : name, is_sequence});
  }
  return leaf;
}

// The text of another program, tests/golden/orbax/make_ocdbt.py.
constexpr std::string_view kReference =
    R"j({"tree_metadata": {"('params', 'a')": {"key_metadata": [{"key": "params", "key_type": 2}, {"key": "a", "key_type": 2}], "value_metadata": {"value_type": "jax.Array", "skip_deserialize": false}}, "('opt', '0')": {"key_metadata": [{"key": "opt", "key_type": 2}, {"key": "0", "key_type": 1}], "value_metadata": {"value_type": "np.ndarray", "skip_deserialize": false}}, "(\"it's\",)": {"key_metadata": [{"key": "it's", "key_type": 2}], "value_metadata": {"value_type": "jax.Array", "skip_deserialize": false}}, "('nothing',)": {"key_metadata": [{"key": "nothing", "key_type": 2}], "value_metadata": {"value_type": "None", "skip_deserialize": true}}}, "use_ocdbt": true, "use_zarr3": false, "store_array_data_equal_to_fill_value": true, "custom_metadata": null})j";

OrbaxMetadata Reference() {
  return {{Leaf({"params", "a"}), Leaf({"opt", "#0"}, "np.ndarray"), Leaf({"it's"}),
           Leaf({"nothing"}, "None", true)},
          false,
          true,
          true};
}

TEST(OrbaxMetadata, IsWrittenAsTheReferenceWritesIt) {
  EXPECT_EQ(EncodeOrbaxMetadata(Reference()), kReference);
}

TEST(OrbaxMetadata, IsReadBack) {
  const auto metadata = DecodeOrbaxMetadata(kReference);
  ASSERT_TRUE(metadata) << ErrorText(metadata);
  EXPECT_EQ(metadata->leaves, Reference().leaves);
  EXPECT_FALSE(metadata->use_zarr3);
  EXPECT_EQ(metadata->use_ocdbt, true);
  EXPECT_TRUE(metadata->stores_fill_chunks);
}

TEST(OrbaxMetadata, EscapesNamesAsPythonDoes) {
  // Python 3: json.dumps(str((name,))) of it's + quote, of a backslash, of control characters, of
  // umlaut and emoji.
  const auto text_key = [](const std::string& name) {
    const std::string json = EncodeOrbaxMetadata({.leaves = {Leaf({name})}});
    const size_t begin = json.find("{\"") + std::string_view(R"({"tree_metadata": {)").size();
    return json.substr(begin, json.find(": {\"key_metadata\"") - begin);
  };
  EXPECT_EQ(text_key("it's \""), R"j("('it\\'s \"',)")j");
  EXPECT_EQ(text_key("a\\b"), R"j("('a\\\\b',)")j");
  EXPECT_EQ(text_key(std::string("\t\n\r\x01\x7f", 5)), R"j("('\\t\\n\\r\\x01\\x7f',)")j");
  EXPECT_EQ(text_key("\xc3\xa4\xf0\x9f\x98\x80"), R"j("('\u00e4\ud83d\ude00',)")j");
  EXPECT_EQ(text_key("\xc2\xa0\xc2\xad"), R"j("('\\xa0\\xad',)")j");
}

TEST(OrbaxMetadata, NeedsNeitherTextKeysNorTheOptionalMembers) {
  const auto metadata = DecodeOrbaxMetadata(
      R"({"other": {"a": [1, {"b": 2}]}, "tree_metadata": {"k0": {"key_metadata":
      [{"key_type": 1, "key": "3", "more": {"key": 5}}], "value_metadata": {"value_type": "scalar",
      "write_shape": [1]}, "x": []}}, "custom_metadata": {"use_zarr3": true}})");
  ASSERT_TRUE(metadata) << ErrorText(metadata);
  EXPECT_EQ(metadata->leaves, (std::vector<OrbaxLeaf>{Leaf({"#3"}, "scalar")}));
  EXPECT_FALSE(metadata->use_zarr3);
  EXPECT_EQ(metadata->use_ocdbt, std::nullopt);
  EXPECT_FALSE(metadata->stores_fill_chunks);
}

TEST(OrbaxMetadata, RefusesEachDamage) {
  const auto refusal = [](std::string_view json) { return ErrorText(DecodeOrbaxMetadata(json)); };
  const auto leaf = [&](std::string_view text) {
    return refusal(fmt::format(R"({{"tree_metadata": {{"the leaf": {}}}}})", text));
  };
  EXPECT_THAT(refusal("[]"), HasSubstr("no JSON object"));
  EXPECT_THAT(refusal("{"), HasSubstr("not JSON"));
  EXPECT_THAT(refusal("{}"), HasSubstr("\"tree_metadata\" is missing"));
  EXPECT_THAT(refusal(R"({"tree_metadata": []})"), HasSubstr("is no JSON object"));
  EXPECT_THAT(refusal(R"({"tree_metadata": {}, "tree_metadata": {}})"), HasSubstr("appears twice"));
  EXPECT_THAT(leaf("7"), HasSubstr("a leaf that is no JSON object"));
  EXPECT_THAT(leaf("{}"), HasSubstr("a leaf without key_metadata"));
  EXPECT_THAT(leaf(R"({"key_metadata": [5]})"), HasSubstr("an item of key_metadata"));
  EXPECT_THAT(leaf(R"({"key_metadata": [{"key": "a"}]})"),
              HasSubstr("without \"key\" or \"key_type\""));
  EXPECT_THAT(leaf(R"({"key_metadata": [{"key_type": 2}]})"), HasSubstr("without \"key\""));
  EXPECT_THAT(leaf(R"({"key_metadata": [{"key": "a", "key_type": 3}]})"), HasSubstr("neither 1"));
  EXPECT_THAT(leaf(R"({"key_metadata": [{"key": 5, "key_type": 2}]})"), HasSubstr("is no text"));
  EXPECT_THAT(leaf(R"({"key_metadata": [{"key": "a", "key_type": 3}]})"), HasSubstr("the leaf"));
  EXPECT_THAT(refusal(R"({"tree_metadata": {
      "1": {"key_metadata": [{"key": "a.b", "key_type": 2}]},
      "2": {"key_metadata": [{"key": "a", "key_type": 2}, {"key": "b", "key_type": 2}]}}})"),
              HasSubstr("two leaves have this name"));
  std::string deep = R"({"key_metadata": [)";
  for (int i = 0; i < 65; ++i) deep += R"({"key": "a", "key_type": 2},)";
  deep.back() = ']';
  EXPECT_THAT(leaf(deep + "}"), HasSubstr("a path of more than 64 keys"));
}

TEST(OrbaxStepMetadata, IsWrittenAsTheReferenceWritesIt) {
  const std::string rest =
      R"("metrics": {}, "performance_metrics": {}, "init_timestamp_nsecs": 1, "commit_timestamp_nsecs": 1, "custom_metadata": {}})";
  EXPECT_EQ(
      EncodeOrbaxStepMetadata("items"),
      R"({"item_handlers": {"items": "orbax.checkpoint._src.handlers.pytree_checkpoint_handler.PyTreeCheckpointHandler"}, )" +
          rest);
  EXPECT_EQ(
      EncodeOrbaxStepMetadata(""),
      R"({"item_handlers": "orbax.checkpoint._src.handlers.pytree_checkpoint_handler.PyTreeCheckpointHandler", )" +
          rest);
}

TEST(OrbaxAggregate, IsWrittenAsTheReferenceWritesIt) {
  const std::vector<OrbaxLeaf> leaves = {Leaf({"step"}), Leaf({"params", "b"}),
                                         Leaf({"params", std::string(40, 'a')})};
  EXPECT_EQ(EncodeOrbaxAggregate(leaves),
            FromHex("82a6706172616d7382d92861616161616161616161616161616161616161616161616161616161"
                    "616161616161"
                    "616161616161d93d504c414345484f4c4445523a2f2f706172616d732e61616161616161616161"
                    "61616161616161"
                    "6161616161616161616161616161616161616161616161a162b6504c414345484f4c4445523a2f"
                    "2f706172616d"
                    "732e62a473746570b2504c414345484f4c4445523a2f2f73746570"));
}

TEST(OrbaxAggregate, IsReadBack) {
  std::vector<OrbaxLeaf> leaves = {Leaf({"a", "#0", "x"}), Leaf({"a", "#1"}), Leaf({"b"})};
  for (int i = 0; i < 70000; ++i) leaves.push_back(Leaf({"c", fmt::format("{:05}", i)}));
  for (int i = 0; i < 20; ++i) leaves.push_back(Leaf({"d", fmt::format("#{}", i)}));
  leaves.push_back(Leaf({"e", std::string(300, 'k')}));
  for (OrbaxLeaf& leaf : leaves) leaf.value_type = "";
  const auto back = DecodeOrbaxAggregate(EncodeOrbaxAggregate(leaves));
  ASSERT_TRUE(back) << ErrorText(back);
  EXPECT_EQ(*back, leaves);
}

TEST(OrbaxAggregate, GivesEmptyNodesTheirType) {
  const auto leaves = DecodeOrbaxAggregate(FromHex("82 a161 80 a162 90"));
  ASSERT_TRUE(leaves) << ErrorText(leaves);
  EXPECT_EQ(*leaves,
            (std::vector<OrbaxLeaf>{Leaf({"a"}, "Dict", true), Leaf({"b"}, "List", true)}));
}

TEST(OrbaxAggregate, RefusesValuesThatItHoldsItself) {
  // ext 8, ext 32, bin 8, integer, float, bool, nil, another text.
  for (const char* value : {"c70501 9100", "c9000000050100", "c40161", "05", "cb3ff0000000000000",
                            "c3", "c0", "a161", "d6 01 00000000"}) {
    const auto leaves = DecodeOrbaxAggregate(FromHex("81 a177") + FromHex(value));
    EXPECT_THAT(ErrorText(leaves), HasSubstr("\"w\" holds its value in the file \"checkpoint\""))
        << value;
  }
}

TEST(OrbaxAggregate, RefusesEachDamage) {
  const auto refusal = [](std::string_view hex) {
    return ErrorText(DecodeOrbaxAggregate(FromHex(hex)));
  };
  EXPECT_THAT(refusal(""), HasSubstr("truncated"));
  EXPECT_THAT(refusal("81"), HasSubstr("1 items cannot fit in the 0 bytes"));
  EXPECT_THAT(refusal("df ffffffff a161"), HasSubstr("4294967295 items cannot fit"));
  EXPECT_THAT(refusal("dd ffffffff a161"), HasSubstr("4294967295 items cannot fit"));
  EXPECT_THAT(refusal("81 a261"), HasSubstr("a text of 2 bytes"));
  EXPECT_THAT(refusal("81 dbffffffff 61"), HasSubstr("a text of 4294967295 bytes"));
  EXPECT_THAT(refusal("81 05 80"), HasSubstr("a key that is no text"));
  EXPECT_THAT(refusal("81 a1ff 80"), HasSubstr("not UTF-8"));
  EXPECT_THAT(refusal("81 a161 80 00"), HasSubstr("1 bytes follow the tree"));
  EXPECT_THAT(refusal("b4 504c414345484f4c4445523a2f2f 6162636465666768"),
              HasSubstr("a single value"));
  std::string deep;
  for (int i = 0; i < 70; ++i) deep += FromHex("81 a161");
  EXPECT_THAT(ErrorText(DecodeOrbaxAggregate(deep + FromHex("80"))),
              HasSubstr("nested deeper than 64"));
}

TEST(OrbaxAggregate, RefusesALongKeyAboveMoreLeavesThanMemoryHas) {
  const std::string key(60000, 'k');
  std::string bytes = FromHex("81 daea60") + key + FromHex("de ea60");
  for (int i = 0; i < 60000; ++i) bytes += FromHex("a0 80");
  EXPECT_THAT(ErrorText(DecodeOrbaxAggregate(bytes)), HasSubstr("take more than 67108864 bytes"));
}

TEST(OrbaxTree, JoinsNamesWithoutEscapes) {
  const OrbaxLeaf leaf = Leaf({"transformer/layer_0", "q.w", "#0"});
  EXPECT_EQ(OrbaxParamName(leaf.path), "transformer/layer_0.q.w.0");
  EXPECT_EQ(OrbaxTensorName(leaf.path), "transformer/layer_0/q.w/0");
}

TEST(OrbaxTree, RefusesWhatCannotBeStored) {
  const auto refusal = [](std::vector<OrbaxLeaf> leaves) {
    return ErrorText(CheckOrbaxTree(leaves));
  };
  EXPECT_EQ(refusal({Leaf({"a", "#0"}), Leaf({"a", "#1"}), Leaf({"b/c", "d"}), Leaf({"e"})}),
            "(no error)");
  EXPECT_THAT(refusal({Leaf({})}), HasSubstr("without a path"));
  EXPECT_THAT(refusal({Leaf({"a", ""})}), HasSubstr("an empty key"));
  EXPECT_THAT(refusal({Leaf({std::string("a\0b", 3)})}), HasSubstr("a NUL byte"));
  EXPECT_THAT(refusal({Leaf({"\xff"})}), HasSubstr("not UTF-8"));
  EXPECT_THAT(refusal({Leaf({"/a"})}), HasSubstr("cannot be a folder's"));
  EXPECT_THAT(refusal({Leaf({"a/"})}), HasSubstr("cannot be a folder's"));
  EXPECT_THAT(refusal({Leaf({"a//b"})}), HasSubstr("cannot be a folder's"));
  EXPECT_THAT(refusal({Leaf({"a/../b"})}), HasSubstr("the part \"..\""));
  EXPECT_THAT(refusal({Leaf({"."})}), HasSubstr("the part \".\""));
  EXPECT_THAT(refusal({Leaf({"a.b"}), Leaf({"a", "b"})}), HasSubstr("would both be stored as a.b"));
  EXPECT_THAT(refusal({Leaf({"a"}), Leaf({"a"})}), HasSubstr("appears twice"));
  EXPECT_THAT(refusal({Leaf({"a"}), Leaf({"a", "b"})}), HasSubstr("lies below another leaf"));
  EXPECT_THAT(refusal({Leaf({"a", "b"}), Leaf({"a"})}), HasSubstr("others lie below it"));
  EXPECT_THAT(refusal({Leaf({"a", "#0"}), Leaf({"a", "b"})}),
              HasSubstr("beside indexes of a list"));
  EXPECT_THAT(refusal({Leaf({"a", "#0"}), Leaf({"a", "#2"})}), HasSubstr("without the index 1"));
}

}  // namespace
}  // namespace ckpt
