#include "format/pickle/machine.h"

#include <fmt/format.h>

#include <utility>

#include "base/endian.h"
#include "format/pickle/refusal.h"

namespace ckpt::pickle {
namespace {

constexpr uint64_t kMemoBytes = 64;

int64_t SignExtend(uint64_t value, size_t bytes) {
  if (bytes == 0) return 0;
  const auto shift = static_cast<unsigned>(64 - 8 * bytes);
  return static_cast<int64_t>(value << shift) >> shift;
}

}  // namespace

Result<Value> Machine::Run() {
  for (uint64_t at = 0;;) {
    const uint64_t begin = at;
    CKPT_TRY(const std::optional<Op> op, NextOp(pickle_, place_.first_byte, at));
    if (!op) {
      if (begin == pickle_.size())
        return Damaged(place_.first_byte + begin, "the pickle ends without STOP: it is truncated");
      const auto code = static_cast<Opcode>(static_cast<uint8_t>(pickle_[begin]));
      return Damaged(
          place_.first_byte + begin,
          fmt::format("the argument of {} is longer than the {} bytes that are left of the pickle",
                      OpcodeName(code), pickle_.size() - begin - 1));
    }
    if (op->code != Opcode::kStop) {
      CKPT_TRY_VOID(Step(*op));
      continue;
    }
    if (stack_.empty() || !marks_.empty()) return Underflow(*op);
    if (stack_.size() > 1)
      return Damaged(ByteOf(*op),
                     fmt::format("the pickle ends with {} values instead of one", stack_.size()));
    if (at != pickle_.size())
      return Damaged(place_.first_byte + at,
                     fmt::format("{} bytes after the pickle's STOP", pickle_.size() - at));
    return stack_.back();
  }
}

tl::unexpected<Error> Machine::Underflow(const Op& op) const {
  return Damaged(ByteOf(op), fmt::format("{} needs more values than the pickle's stack has",
                                         OpcodeName(op.code)));
}

Result<void> Machine::Push(Value value) {
  if (stack_.size() == deepest_) {
    CKPT_TRY_VOID(memory_.Keep(kGrowth * sizeof(Value)));
    ++deepest_;
  }
  stack_.push_back(value);
  return {};
}

Result<void> Machine::PushText(Kind kind, std::string_view text) {
  CKPT_TRY_VOID(memory_.Keep(kGrowth * sizeof(std::string_view)));
  arena_.strings.push_back(text);
  return Push({kind, static_cast<uint32_t>(arena_.strings.size() - 1), 0});
}

Result<void> Machine::PushInt(const Op& op, std::string_view bytes) {
  if (op.code == Opcode::kLong4 && op.number > INT32_MAX)
    return Damaged(ByteOf(op), "LONG4 has a negative length");
  if (bytes.size() > 8) return PushText(Kind::kBigInt, bytes);
  const uint64_t value = FromLittleEndian(std::as_bytes(std::span(bytes)));
  return Push({Kind::kInt, 0, SignExtend(value, bytes.size())});
}

Result<Value> Machine::Pop(const Op& op) {
  if (stack_.size() <= (marks_.empty() ? 0 : marks_.back())) return Underflow(op);
  const Value value = stack_.back();
  stack_.pop_back();
  return value;
}

Result<std::vector<Value>> Machine::PopMark(const Op& op) {
  if (marks_.empty()) return Underflow(op);
  const auto begin = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
  std::vector<Value> values(begin, stack_.end());
  stack_.erase(begin, stack_.end());
  marks_.pop_back();
  return values;
}

Result<Value> Machine::NewContainer(Kind kind) {
  CKPT_TRY_VOID(memory_.Keep(kGrowth * sizeof(Container)));
  arena_.containers.emplace_back();
  return Value{kind, static_cast<uint32_t>(arena_.containers.size() - 1), 0};
}

Result<void> Machine::Append(const Op& op, const Value& container,
                             const std::vector<Value>& values) {
  const bool is_item = op.code == Opcode::kSetItem || op.code == Opcode::kSetItems;
  if (container.kind == Kind::kOpaque && op.code == Opcode::kAddItems) return {};
  if (container.kind != (is_item ? Kind::kDict : Kind::kList) || op.code == Opcode::kAddItems)
    return NotPlain(ByteOf(op), fmt::format("{} on a value that is no {}", OpcodeName(op.code),
                                            is_item                        ? "dict"
                                            : op.code == Opcode::kAddItems ? "set"
                                                                           : "list"));
  if (is_item && values.size() % 2 != 0)
    return Damaged(ByteOf(op), "a dict gets a key without a value");
  CKPT_TRY_VOID(memory_.Keep(kGrowth * values.size() * sizeof(Value)));
  std::vector<Value>& items = arena_.containers[container.index].items;
  items.insert(items.end(), values.begin(), values.end());
  return {};
}

Result<void> Machine::PushTuple(const Op& op, size_t count) {
  std::vector<Value> values(count);
  for (size_t i = count; i-- > 0;) {
    CKPT_TRY(values[i], Pop(op));
  }
  CKPT_TRY(const Value tuple, NewContainer(Kind::kTuple));
  CKPT_TRY_VOID(memory_.Keep(values.size() * sizeof(Value)));
  arena_.containers[tuple.index].items = std::move(values);
  return Push(tuple);
}

Result<void> Machine::PushGlobal(const Op& op, std::string_view module, std::string_view name) {
  const Global* const global = FindGlobal(module, name);
  if (global == nullptr) return RefuseGlobal(ByteOf(op), place_.name, module, name);
  CKPT_TRY_VOID(memory_.Keep(kGrowth * 8));
  arena_.globals.push_back(global);
  return Push({Kind::kGlobal, static_cast<uint32_t>(arena_.globals.size() - 1), 0});
}

Result<void> Machine::Put(uint64_t index, const Op& op) {
  if (stack_.size() <= (marks_.empty() ? 0 : marks_.back())) return Underflow(op);
  if (!memo_.contains(index)) CKPT_TRY_VOID(memory_.Keep(kMemoBytes));
  memo_[index] = stack_.back();
  return {};
}

Result<void> Machine::Get(const Op& op) {
  const auto found = memo_.find(op.number);
  if (found == memo_.end())
    return Damaged(ByteOf(op), fmt::format("{} asks for memo {}, which was never put",
                                           OpcodeName(op.code), op.number));
  return Push(found->second);
}

// What an OrderedDict (a state dict's _metadata) or a tensor is told besides is read and dropped.
Result<void> Machine::Build(const Op& op) {
  CKPT_TRY_VOID(Pop(op));
  CKPT_TRY(const Value object, Pop(op));
  const bool is_dict =
      object.kind == Kind::kDict && arena_.containers[object.index].is_ordered_dict;
  if (!is_dict && object.kind != Kind::kTensor)
    return NotPlain(ByteOf(op), "BUILD on a value that is neither an OrderedDict nor a tensor");
  return Push(object);
}

}  // namespace ckpt::pickle
