#include "format/zarr/json_tree.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/text.h"

namespace ckpt::zarr {
namespace {

// Puts each token where it belongs. The containers around the present one are found from the top
// each time, for a member's address changes when its container grows.
class Builder {
 public:
  Result<void> Take(const json::Token& token) {
    switch (token.kind) {
      case json::Kind::kEndObject:
      case json::Kind::kEndArray:
        return {};
      case json::Kind::kKey:
        key_ = token.text;
        if (ContainerAt(token.depth).Find(key_) == nullptr) return {};
        return Fail(Code::kBadInput, fmt::format("the key \"{}\" appears twice", Excerpt(key_)),
                    "the array's metadata is damaged: fetch the checkpoint again");
      default:
        break;
    }
    if (++count_ > kMaxJsonValues)
      return Fail(Code::kBadInput, fmt::format("more than {} JSON values", kMaxJsonValues),
                  "the array's metadata is damaged: fetch the checkpoint again");
    JsonValue value;
    value.kind = token.kind;
    value.text = token.text;
    value.unsigned_value = token.unsigned_value;
    value.negative_value = token.negative_value;
    value.float_value = token.float_value;
    value.is_true = token.is_true;
    if (token.depth == 0) {
      root_ = std::move(value);
      return {};
    }
    JsonValue& container = ContainerAt(token.depth);
    if (container.is_object()) value.key = key_;
    container.members.push_back(std::move(value));
    return {};
  }
  JsonValue Finish() { return std::move(root_); }

 private:
  // The container that holds values of this depth.
  JsonValue& ContainerAt(uint32_t depth) {
    JsonValue* container = &root_;
    for (uint32_t level = 1; level < depth; ++level) container = &container->members.back();
    return *container;
  }

  JsonValue root_;
  std::string key_;
  size_t count_ = 0;
};

}  // namespace

const JsonValue* JsonValue::Find(std::string_view name) const {
  if (!is_object()) return nullptr;
  const auto at = std::find_if(members.begin(), members.end(),
                               [&](const JsonValue& member) { return member.key == name; });
  return at == members.end() ? nullptr : &*at;
}

Result<JsonValue> ReadJsonTree(std::string_view text) {
  Builder builder;
  CKPT_TRY_VOID(json::Read(text, 0, [&](const json::Token& token) { return builder.Take(token); }));
  return builder.Finish();
}

}  // namespace ckpt::zarr
