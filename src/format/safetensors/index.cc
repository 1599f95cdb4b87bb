#include "format/safetensors/index.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <unordered_map>
#include <utility>

#include "base/text.h"
#include "format/json/json.h"

namespace ckpt::safetensors {
namespace {

Result<void> Refuse(std::string what) {
  return Fail(Code::kBadInput, std::move(what), "the index is damaged: fetch it again");
}

class IndexVisitor {
 public:
  Result<void> Visit(const json::Token& token) {
    using json::Kind;
    if (token.depth == 0) {
      if (token.kind == Kind::kBeginObject || token.kind == Kind::kEndObject) return {};
      return Refuse("the index is no JSON object");
    }
    if (token.depth == 1) return Top(token);
    if (top_ == "weight_map") return InMap(token);
    if (top_ == "metadata" && token.depth == 2) Metadata(token);
    return {};
  }

  Result<Index> Take() && {
    if (!has_map_)
      return Fail(Code::kBadInput, "no \"weight_map\"",
                  "not an index of safetensors shards, or damaged: fetch it again");
    if (index_.entries.empty())
      return Fail(Code::kBadInput, "\"weight_map\" is empty",
                  "the index is damaged: fetch it again");
    CKPT_TRY_VOID(SortEntries());
    SortShards();
    return std::move(index_);
  }

 private:
  Result<void> Top(const json::Token& token) {
    if (token.kind == json::Kind::kKey) {
      top_ = token.text;
      if (top_ == "weight_map" && std::exchange(has_map_, true))
        return Refuse("\"weight_map\" appears twice");
      return {};
    }
    const bool is_object =
        token.kind == json::Kind::kBeginObject || token.kind == json::Kind::kEndObject;
    if (top_ == "weight_map" && !is_object) return Refuse("\"weight_map\" is no JSON object");
    return {};
  }

  Result<void> InMap(const json::Token& token) {
    if (token.kind == json::Kind::kKey) {
      key_ = token.text;
      return {};
    }
    if (token.kind != json::Kind::kString)
      return Refuse("the shard's name is no string").map_error(Where("tensor", Excerpt(key_)));
    const auto [at, is_new] = shard_numbers_.try_emplace(
        std::string(token.text), static_cast<uint32_t>(index_.shards.size()));
    if (is_new) index_.shards.emplace_back(token.text);
    index_.entries.push_back({key_, at->second});
    return {};
  }

  void Metadata(const json::Token& token) {
    if (token.kind == json::Kind::kKey) {
      key_ = token.text;
    } else if (key_ == "total_size" && token.kind == json::Kind::kUnsigned) {
      index_.total_size_bytes = token.unsigned_value;
    } else if (key_ == "total_size" && token.kind == json::Kind::kFloat) {
      // Some writers divide on the way, and write 26032740352.0.
      const double value = token.float_value;
      if (value >= 0 && value < 9.2e18 && std::floor(value) == value)
        index_.total_size_bytes = static_cast<uint64_t>(value);
    }
  }

  Result<void> SortEntries() {
    auto& entries = index_.entries;
    std::sort(entries.begin(), entries.end(),
              [](const Index::Entry& a, const Index::Entry& b) { return a.tensor < b.tensor; });
    const auto twice =
        std::adjacent_find(entries.begin(), entries.end(),
                           [](const auto& a, const auto& b) { return a.tensor == b.tensor; });
    if (twice == entries.end()) return {};
    return Refuse(fmt::format("tensor \"{}\" appears twice", Excerpt(twice->tensor)))
        .map_error(Where("key", "weight_map"));
  }

  void SortShards() {
    std::sort(index_.shards.begin(), index_.shards.end());
    std::vector<uint32_t> sorted(index_.shards.size());
    for (size_t i = 0; i < index_.shards.size(); ++i)
      sorted[shard_numbers_.at(index_.shards[i])] = static_cast<uint32_t>(i);
    for (Index::Entry& entry : index_.entries) entry.shard = sorted[entry.shard];
  }

  Index index_;
  std::unordered_map<std::string, uint32_t> shard_numbers_;
  std::string top_;
  std::string key_;
  bool has_map_ = false;
};

}  // namespace

Result<Index> DecodeIndex(std::string_view text) {
  IndexVisitor visitor;
  CKPT_TRY_VOID(
      json::Read(text, 0, [&](const json::Token& token) { return visitor.Visit(token); }));
  return std::move(visitor).Take();
}

std::string EncodeIndex(const Index& index) {
  std::string text = "{\n";
  if (index.total_size_bytes)
    text +=
        fmt::format("  \"metadata\": {{\n    \"total_size\": {}\n  }},\n", *index.total_size_bytes);
  text += "  \"weight_map\": {";
  const char* separator = "\n    ";
  for (const Index::Entry& entry : index.entries) {
    text += separator;
    json::AppendString(text, entry.tensor);
    text += ": ";
    json::AppendString(text, index.shards[entry.shard]);
    separator = ",\n    ";
  }
  text += "\n  }\n}\n";
  return text;
}

}  // namespace ckpt::safetensors
