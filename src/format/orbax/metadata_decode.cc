#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/text.h"
#include "format/json/json.h"
#include "format/orbax/metadata.h"

namespace ckpt {
namespace {

// Depths of the tokens that matter:
//   1  members of the whole           2  text keys of tree_metadata
//   3  key_metadata, value_metadata   4  items of key_metadata; members of value_metadata
//   5  members of one item of key_metadata
constexpr uint32_t kTopDepth = 1;
constexpr uint32_t kLeafDepth = 2;
constexpr uint32_t kPartDepth = 3;
constexpr uint32_t kItemDepth = 4;
constexpr uint32_t kItemMemberDepth = 5;

Result<void> Refuse(std::string what) {
  return Fail(Code::kBadInput, std::move(what),
              "the checkpoint's _METADATA is damaged: fetch it again");
}

class Decoder {
 public:
  Result<void> Take(const json::Token& token) {
    if (token.kind == json::Kind::kKey) return TakeKey(token);
    if (token.depth == 0)
      return token.kind == json::Kind::kBeginObject || token.kind == json::Kind::kEndObject
                 ? Result<void>()
                 : Refuse("no JSON object");
    if (token.depth == kTopDepth) return TakeTop(token);
    if (top_ != "tree_metadata") return {};
    auto taken = TakeInLeaf(token);
    if (taken) return taken;
    return std::move(taken).map_error(Where("key", Excerpt(leaf_key_)));
  }

  Result<OrbaxMetadata> Finish() {
    CKPT_TRY_VOID(CheckWhole());
    return std::move(metadata_);
  }

 private:
  Result<void> TakeKey(const json::Token& token) {
    if (token.depth == kTopDepth) top_ = token.text;
    if (token.depth == kLeafDepth) leaf_key_ = token.text;
    if (token.depth == kPartDepth) part_ = token.text;
    if (token.depth == kItemDepth || token.depth == kItemMemberDepth) member_ = token.text;
    return {};
  }

  Result<void> TakeTop(const json::Token& token) {
    const bool is_bool = token.kind == json::Kind::kBool;
    if (top_ == "tree_metadata") {
      if (token.kind == json::Kind::kBeginObject && has_tree_)
        return Refuse("\"tree_metadata\" appears twice");
      if (token.kind != json::Kind::kBeginObject && token.kind != json::Kind::kEndObject)
        return Refuse("\"tree_metadata\" is no JSON object");
      has_tree_ = true;
    } else if (top_ == "use_zarr3" && is_bool) {
      metadata_.use_zarr3 = token.is_true;
    } else if (top_ == "use_ocdbt" && is_bool) {
      metadata_.use_ocdbt = token.is_true;
    } else if (top_ == "store_array_data_equal_to_fill_value" && is_bool) {
      metadata_.stores_fill_chunks = token.is_true;
    }
    return {};
  }

  Result<void> TakeInLeaf(const json::Token& token) {
    if (token.depth == kLeafDepth) {
      if (token.kind == json::Kind::kBeginObject) return BeginLeaf();
      if (token.kind == json::Kind::kEndObject) return EndLeaf();
      return Refuse("a leaf that is no JSON object");
    }
    if (part_ == "key_metadata") {
      if (token.depth == kItemDepth && token.kind == json::Kind::kBeginObject) return BeginKey();
      if (token.depth == kItemDepth && token.kind == json::Kind::kEndObject) return EndKey();
      if (token.depth == kItemDepth) return Refuse("an item of key_metadata is no JSON object");
      if (token.depth == kItemMemberDepth) return TakeKeyMember(token);
    }
    if (part_ == "value_metadata" && token.depth == kItemDepth) TakeValueMember(token);
    return {};
  }

  Result<void> BeginLeaf() {
    if (metadata_.leaves.size() == kOrbaxMaxLeaves)
      return Refuse(fmt::format("more than {} leaves", kOrbaxMaxLeaves));
    metadata_.leaves.emplace_back();
    return {};
  }
  Result<void> EndLeaf() {
    if (metadata_.leaves.back().path.empty()) return Refuse("a leaf without key_metadata");
    return {};
  }
  Result<void> BeginKey() {
    if (metadata_.leaves.back().path.size() == kOrbaxMaxPathKeys)
      return Refuse(fmt::format("a path of more than {} keys", kOrbaxMaxPathKeys));
    metadata_.leaves.back().path.emplace_back();
    has_name_ = false;
    has_type_ = false;
    return {};
  }
  Result<void> EndKey() const {
    if (!has_name_ || !has_type_) return Refuse(R"(a key without "key" or "key_type")");
    return {};
  }

  Result<void> TakeKeyMember(const json::Token& token) {
    OrbaxKey& key = metadata_.leaves.back().path.back();
    if (member_ == "key") {
      if (token.kind != json::Kind::kString || token.text.empty())
        return Refuse("a key's name is no text");
      key.name = token.text;
      has_name_ = true;
    } else if (member_ == "key_type") {
      if (token.kind != json::Kind::kUnsigned || (token.unsigned_value != kOrbaxSequenceKeyType &&
                                                  token.unsigned_value != kOrbaxDictKeyType))
        return Refuse("a key's type is neither 1 (index) nor 2 (name)");
      key.is_sequence = token.unsigned_value == kOrbaxSequenceKeyType;
      has_type_ = true;
    }
    return {};
  }

  void TakeValueMember(const json::Token& token) {
    OrbaxLeaf& leaf = metadata_.leaves.back();
    if (member_ == "value_type" && token.kind == json::Kind::kString) leaf.value_type = token.text;
    if (member_ == "skip_deserialize" && token.kind == json::Kind::kBool)
      leaf.skip_deserialize = token.is_true;
  }

  // What only shows at the end: there is a tree, and no path in it twice.
  Result<void> CheckWhole() const {
    if (!has_tree_) return Refuse("\"tree_metadata\" is missing");
    std::vector<std::string> names;
    names.reserve(metadata_.leaves.size());
    for (const OrbaxLeaf& leaf : metadata_.leaves) names.push_back(OrbaxParamName(leaf.path));
    std::sort(names.begin(), names.end());
    const auto twice = std::adjacent_find(names.begin(), names.end());
    if (twice == names.end()) return {};
    return Refuse("two leaves have this name").map_error(Where("key", Excerpt(*twice)));
  }

  OrbaxMetadata metadata_;
  std::string top_;  // the keys around the present token
  std::string leaf_key_;
  std::string part_;
  std::string member_;
  bool has_tree_ = false;
  bool has_name_ = false;
  bool has_type_ = false;
};

}  // namespace

Result<OrbaxMetadata> DecodeOrbaxMetadata(std::string_view json) {
  Decoder decoder;
  CKPT_TRY_VOID(json::Read(json, 0, [&](const json::Token& token) { return decoder.Take(token); }));
  return decoder.Finish();
}

}  // namespace ckpt
