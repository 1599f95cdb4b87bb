#include "source/config.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/text.h"
#include "format/json/json.h"
#include "source/reading.h"

namespace ckpt {
namespace {

constexpr uint64_t kNodeBytes = 128;  // of a map, with the strings' own objects

struct ConfigFile {
  const char* kind;
  const char* name;
};
constexpr std::array<ConfigFile, 2> kFiles = {{{"hf", "config.json"}, {"meta", "params.json"}}};

Result<void> Refuse(std::string what) {
  return Fail(Code::kBadInput, std::move(what), "the file is damaged: fetch it again");
}

class Flattener {
 public:
  explicit Flattener(std::map<std::string, ConfigValue>& values) : values_(values) {}

  Result<void> Visit(const json::Token& token) {
    using json::Kind;
    if (levels_.empty()) {
      if (token.kind == Kind::kEndObject) return {};
      if (token.kind != Kind::kBeginObject) return Refuse("no JSON object");
      levels_.push_back({});
      return {};
    }
    switch (token.kind) {
      case Kind::kKey:
        BeginItem(token.text);
        return {};
      case Kind::kBeginObject:
        Open(false);
        return {};
      case Kind::kBeginArray:
        Open(true);
        return {};
      case Kind::kEndObject:
        levels_.pop_back();
        return {};
      case Kind::kEndArray:
        return EndList();
      case Kind::kNull:
        BeginListItem();
        return {};
      default:
        BeginListItem();
        return Put(path_, Value(token));
    }
  }

 private:
  struct Level {
    bool is_list = false;
    uint64_t items = 0;
    size_t path_bytes = 0;  // of the container itself
  };

  static ConfigValue Value(const json::Token& token) {
    switch (token.kind) {
      case json::Kind::kString:
        return std::string(token.text);
      case json::Kind::kBool:
        return token.is_true;
      case json::Kind::kNegative:
        return token.negative_value;
      case json::Kind::kUnsigned:
        if (token.unsigned_value <= INT64_MAX) return static_cast<int64_t>(token.unsigned_value);
        return static_cast<double>(token.unsigned_value);
      default:
        return token.float_value;
    }
  }

  // Makes path_ that of the container's next item.
  void BeginItem(std::string_view name) {
    path_.resize(levels_.back().path_bytes);
    if (!path_.empty()) path_ += '.';
    path_ += name;
  }
  void BeginListItem() {
    if (levels_.back().is_list) BeginItem(std::to_string(levels_.back().items++));
  }
  void Open(bool is_list) {
    BeginListItem();
    levels_.push_back({is_list, 0, path_.size()});
  }
  Result<void> EndList() {
    const Level level = levels_.back();
    levels_.pop_back();
    path_.resize(level.path_bytes);
    return Put(path_ + ".length", static_cast<int64_t>(level.items));
  }

  Result<void> Put(const std::string& key, ConfigValue value) {
    const auto* text = std::get_if<std::string>(&value);
    bytes_ += kNodeBytes + key.size() + (text != nullptr ? text->size() : 0);
    if (bytes_ > kMaxConfigValueBytes) return Refuse("too many values for a config file");
    if (!values_.emplace(key, std::move(value)).second)
      return Refuse("this key appears twice").map_error(Where("key", Excerpt(key)));
    return {};
  }

  std::map<std::string, ConfigValue>& values_;
  std::vector<Level> levels_;
  std::string path_;
  uint64_t bytes_ = 0;
};

}  // namespace

Result<SourceConfig> FlattenConfig(std::string kind, std::string object, std::string text) {
  SourceConfig config{std::move(kind), std::move(object), {}, std::move(text)};
  Flattener flattener(config.values);
  CKPT_TRY_VOID(
      json::Read(config.text, 0, [&](const json::Token& token) { return flattener.Visit(token); }));
  return config;
}

Result<std::vector<SourceConfig>> ReadConfigs(Store& store, std::string_view folder,
                                              MemoryBudget& budget) {
  std::vector<SourceConfig> configs;
  for (const auto& [kind, file] : kFiles) {
    const std::string name = std::string(folder) + file;
    const auto info = store.Stat(name);
    if (!info && info.error().code == Code::kNotFound) continue;
    if (!info) return Fail(info.error());
    const uint64_t text_bytes = std::min(info->size_bytes, kMaxConfigBytes);
    // Beside the text its values: at most 64 bytes per byte of it, in lists of small numbers.
    CKPT_TRY(const Grant grant,
             GrantNow(budget, text_bytes + std::min(kMaxConfigValueBytes, 64 * text_bytes), file)
                 .map_error(InFile(store, name)));
    CKPT_TRY(std::string text,
             store.ReadWhole(name, kMaxConfigBytes).map_error(InFile(store, name)));
    CKPT_TRY(SourceConfig config,
             FlattenConfig(kind, file, std::move(text)).map_error(InFile(store, name)));
    configs.push_back(std::move(config));
  }
  return configs;
}

}  // namespace ckpt
