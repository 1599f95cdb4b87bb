#include "format/pickle/walk.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "base/text.h"
#include "format/pickle/refusal.h"

namespace ckpt::pickle {
namespace {

class Walk {
 public:
  using Visit = std::function<Result<void>(const std::string&, const TensorValue&)>;

  Walk(const Arena& arena, uint64_t byte, const Visit& visit)
      : arena_(arena), byte_(byte), visit_(visit), is_open_(arena.containers.size(), false) {}

  Result<void> Run(const Value& root) {
    if (ItemsOf(root) > kMostNodes) return TooMany();
    CKPT_TRY_VOID(Enter(root));
    while (!levels_.empty()) {
      Level& level = levels_.back();
      path_.resize(level.path_bytes);
      const std::vector<Value>& items = arena_.containers[level.container].items;
      const size_t step = level.is_dict ? 2 : 1;
      if (level.next + step > items.size()) {
        is_open_[level.container] = false;
        levels_.pop_back();
        continue;
      }
      const size_t at = level.next;
      level.next += step;
      if (!MayHoldTensors(items[at + step - 1])) {
        CKPT_TRY_VOID(Count());
        continue;
      }
      CKPT_TRY_VOID(AddName(level.is_dict ? std::optional(items[at]) : std::nullopt, at));
      CKPT_TRY_VOID(Enter(items[at + step - 1]));
    }
    return {};
  }

 private:
  struct Level {
    uint32_t container = 0;
    bool is_dict = false;
    size_t next = 0;
    size_t path_bytes = 0;
  };

  static bool MayHoldTensors(const Value& value) {
    return value.kind == Kind::kTensor || value.kind == Kind::kDict || value.kind == Kind::kList ||
           value.kind == Kind::kTuple;
  }

  static bool IsContainer(const Value& value) {
    return MayHoldTensors(value) && value.kind != Kind::kTensor;
  }

  // How many items the walk would meet, as often as they are shared, found by looking at each
  // container once; at most one more than is allowed. 0 where a container holds itself: the walk
  // tells where.
  uint64_t ItemsOf(const Value& root) const {
    if (!IsContainer(root)) return 1;
    enum class State : uint8_t { kNew, kOpen, kDone };
    std::vector<State> states(arena_.containers.size(), State::kNew);
    std::vector<uint64_t> below(arena_.containers.size(), 0);
    std::vector<Level> levels;
    const auto open = [&](const Value& value) {
      states[value.index] = State::kOpen;
      levels.push_back({value.index, value.kind == Kind::kDict, 0, 0});
    };
    open(root);
    while (!levels.empty()) {
      Level& level = levels.back();
      const std::vector<Value>& items = arena_.containers[level.container].items;
      const size_t step = level.is_dict ? 2 : 1;
      uint64_t& sum = below[level.container];
      if (level.next + step > items.size()) {
        states[level.container] = State::kDone;
        levels.pop_back();
        continue;
      }
      const Value& item = items[level.next + step - 1];
      if (IsContainer(item)) {
        if (states[item.index] == State::kOpen) return 0;
        if (states[item.index] == State::kNew) {
          open(item);  // and comes back to this item
          continue;
        }
        sum += below[item.index];
      }
      sum = std::min(sum + 1, kMostNodes + 1);
      level.next += step;
    }
    return below[root.index] + 1;
  }

  Result<void> Count() {
    if (++nodes_ <= kMostNodes) return {};
    return TooMany();
  }

  Result<void> TooMany() const {
    return NotPlain(
        byte_, fmt::format(
                   "the pickle's dicts and lists share their parts so often that they have over {} "
                   "items",
                   kMostNodes));
  }

  // `key` of a dict, or the number `index` of a list's item.
  Result<void> AddName(const std::optional<Value>& key, size_t index) {
    if (levels_.size() > 1) path_ += '.';
    if (!key) {
      path_ += std::to_string(index);
    } else if (key->kind == Kind::kString) {
      path_ += arena_.Text(*key);
    } else if (key->kind == Kind::kInt) {
      path_ += std::to_string(key->number);
    } else {
      return NotPlain(
          byte_, fmt::format(
                     "below \"{}\" tensors lie under a key that is neither a string nor an integer",
                     Excerpt(path_)));
    }
    return {};
  }

  Result<void> Enter(const Value& value) {
    CKPT_TRY_VOID(Count());
    if (value.kind == Kind::kTensor) return visit_(path_, arena_.tensors[value.index]);
    if (!MayHoldTensors(value)) return {};
    if (is_open_[value.index])
      return NotPlain(byte_,
                      fmt::format("a container that holds itself, at \"{}\"", Excerpt(path_)));
    is_open_[value.index] = true;
    levels_.push_back({value.index, value.kind == Kind::kDict, 0, path_.size()});
    return {};
  }

  const Arena& arena_;
  const uint64_t byte_;
  const Visit& visit_;
  std::vector<bool> is_open_;  // by container: on the way from the root
  std::vector<Level> levels_;
  std::string path_;
  uint64_t nodes_ = 0;
};

}  // namespace

Result<void> ForEachTensor(
    const Arena& arena, const Value& root, uint64_t byte,
    const std::function<Result<void>(const std::string& name, const TensorValue& tensor)>& visit) {
  return Walk(arena, byte, visit).Run(root);
}

}  // namespace ckpt::pickle
