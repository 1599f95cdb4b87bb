#include "format/pickle/machine.h"

#include <fmt/format.h>

#include <utility>

#include "base/endian.h"
#include "format/pickle/refusal.h"

namespace ckpt::pickle {
namespace {

// What a growing vector takes for one more, old and new memory side by side.
constexpr uint64_t kGrowth = 3;
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
      return Damaged(place_.first_byte + begin,
                     fmt::format("the argument of {} is longer than the {} bytes that are left of the pickle",
                                 OpcodeName(code), pickle_.size() - begin - 1));
    }
    if (op->code != Opcode::kStop) {
      CKPT_TRY_VOID(Step(*op));
      continue;
    }
    if (stack_.empty() || !marks_.empty()) return Underflow(*op);
    if (stack_.size() > 1)
      return Damaged(ByteOf(*op), fmt::format("the pickle ends with {} values instead of one", stack_.size()));
    if (at != pickle_.size())
      return Damaged(place_.first_byte + at, fmt::format("{} bytes after the pickle's STOP", pickle_.size() - at));
    return stack_.back();
  }
}

tl::unexpected<Error> Machine::Underflow(const Op& op) const {
  return Damaged(ByteOf(op), fmt::format("{} needs more values than the pickle's stack has", OpcodeName(op.code)));
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
  CKPT_TRY_VOID(memory_.Keep(kGrowth * sizeof(text)));
  arena_.strings.push_back(text);
  return Push({kind, static_cast<uint32_t>(arena_.strings.size() - 1), 0});
}

Result<void> Machine::PushInt(const Op& op, std::string_view bytes) {
  if (op.code == Opcode::kLong4 && op.number > INT32_MAX) return Damaged(ByteOf(op), "LONG4 has a negative length");
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

Result<void> Machine::Append(const Op& op, const Value& container, const std::vector<Value>& values) {
  const bool is_item = op.code == Opcode::kSetItem || op.code == Opcode::kSetItems;
  if (container.kind == Kind::kOpaque && op.code == Opcode::kAddItems) return {};
  if (container.kind != (is_item ? Kind::kDict : Kind::kList) || op.code == Opcode::kAddItems)
    return NotPlain(ByteOf(op), fmt::format("{} on a value that is no {}", OpcodeName(op.code),
                                            is_item                          ? "dict"
                                            : op.code == Opcode::kAddItems ? "set"
                                                                             : "list"));
  if (is_item && values.size() % 2 != 0) return Damaged(ByteOf(op), "a dict gets a key without a value");
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
  CKPT_TRY_VOID(memory_.Keep(kGrowth * sizeof(global)));
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
    return Damaged(ByteOf(op), fmt::format("{} asks for memo {}, which was never put", OpcodeName(op.code), op.number));
  return Push(found->second);
}

// What an OrderedDict (a state dict's _metadata) or a tensor is told besides is read and dropped.
Result<void> Machine::Build(const Op& op) {
  CKPT_TRY_VOID(Pop(op));
  CKPT_TRY(const Value object, Pop(op));
  const bool is_dict = object.kind == Kind::kDict && arena_.containers[object.index].is_ordered_dict;
  if (!is_dict && object.kind != Kind::kTensor)
    return NotPlain(ByteOf(op), "BUILD on a value that is neither an OrderedDict nor a tensor");
  return Push(object);
}

Result<bool> Machine::StepValue(const Op& op) {
  const auto done = [](Result<void> result) { return std::move(result).map([] { return true; }); };
  switch (op.code) {
    case Opcode::kNone:
      return done(Push({}));
    case Opcode::kNewTrue:
    case Opcode::kNewFalse:
      return done(Push({Kind::kBool, 0, op.code == Opcode::kNewTrue ? 1 : 0}));
    case Opcode::kBinInt:
      return done(Push({Kind::kInt, 0, SignExtend(op.number, 4)}));
    case Opcode::kBinInt1:
    case Opcode::kBinInt2:
      return done(Push({Kind::kInt, 0, static_cast<int64_t>(op.number)}));
    case Opcode::kLong1:
    case Opcode::kLong4:
      return done(PushInt(op, op.text));
    case Opcode::kBinFloat:
      return done(Push({Kind::kDouble, 0, static_cast<int64_t>(__builtin_bswap64(op.number))}));
    case Opcode::kBinString:
    case Opcode::kShortBinString:
    case Opcode::kBinUnicode:
    case Opcode::kShortBinUnicode:
    case Opcode::kBinUnicode8:
      return done(PushText(Kind::kString, op.text));
    case Opcode::kBinBytes:
    case Opcode::kShortBinBytes:
    case Opcode::kBinBytes8:
      return done(PushText(Kind::kBytes, op.text));
    case Opcode::kEmptySet:
      return done(Push({Kind::kOpaque, 0, 0}));
    default:
      return false;
  }
}

Result<bool> Machine::StepContainer(const Op& op) {
  switch (op.code) {
    case Opcode::kEmptyDict:
    case Opcode::kEmptyList: {
      CKPT_TRY(const Value made, NewContainer(op.code == Opcode::kEmptyDict ? Kind::kDict : Kind::kList));
      CKPT_TRY_VOID(Push(made));
      return true;
    }
    case Opcode::kEmptyTuple:
      CKPT_TRY_VOID(PushTuple(op, 0));
      return true;
    case Opcode::kTuple1:
    case Opcode::kTuple2:
    case Opcode::kTuple3:
      CKPT_TRY_VOID(PushTuple(op, static_cast<size_t>(op.code) - static_cast<size_t>(Opcode::kTuple1) + 1));
      return true;
    case Opcode::kTuple: {
      if (marks_.empty()) return Underflow(op);
      const size_t count = stack_.size() - marks_.back();
      CKPT_TRY_VOID(PushTuple(op, count));
      marks_.pop_back();
      return true;
    }
    case Opcode::kFrozenSet: {
      CKPT_TRY_VOID(PopMark(op));
      CKPT_TRY_VOID(Push({Kind::kOpaque, 0, 0}));
      return true;
    }
    case Opcode::kAppend:
    case Opcode::kSetItem: {
      std::vector<Value> values(op.code == Opcode::kAppend ? 1 : 2);
      for (size_t i = values.size(); i-- > 0;) {
        CKPT_TRY(values[i], Pop(op));
      }
      CKPT_TRY(const Value container, Pop(op));
      CKPT_TRY_VOID(Append(op, container, values));
      CKPT_TRY_VOID(Push(container));
      return true;
    }
    case Opcode::kAppends:
    case Opcode::kSetItems:
    case Opcode::kAddItems: {
      CKPT_TRY(const std::vector<Value> values, PopMark(op));
      CKPT_TRY(const Value container, Pop(op));
      CKPT_TRY_VOID(Append(op, container, values));
      CKPT_TRY_VOID(Push(container));
      return true;
    }
    default:
      return false;
  }
}

Result<bool> Machine::StepMemo(const Op& op) {
  switch (op.code) {
    case Opcode::kProto:
      if (op.number < 2 || op.number > 5)
        return NotPlain(ByteOf(op), fmt::format("pickle protocol {} is not 2 to 5", op.number));
      return true;
    case Opcode::kFrame:
      return true;
    case Opcode::kMark:
      CKPT_TRY_VOID(memory_.Keep(kGrowth * sizeof(size_t)));
      marks_.push_back(stack_.size());
      return true;
    case Opcode::kPop:
      // As Python: a mark on top goes away like a value.
      if (!marks_.empty() && marks_.back() == stack_.size()) {
        marks_.pop_back();
        return true;
      }
      CKPT_TRY_VOID(Pop(op));
      return true;
    case Opcode::kPopMark:
      CKPT_TRY_VOID(PopMark(op));
      return true;
    case Opcode::kDup: {
      CKPT_TRY(const Value top, Pop(op));
      CKPT_TRY_VOID(Push(top));
      CKPT_TRY_VOID(Push(top));
      return true;
    }
    case Opcode::kBinPut:
    case Opcode::kLongBinPut:
      CKPT_TRY_VOID(Put(op.number, op));
      return true;
    case Opcode::kMemoize:
      CKPT_TRY_VOID(Put(memo_.size(), op));
      return true;
    case Opcode::kBinGet:
    case Opcode::kLongBinGet:
      CKPT_TRY_VOID(Get(op));
      return true;
    default:
      return false;
  }
}

// All others: those that name a function or class, and what they make.
Result<void> Machine::StepCall(const Op& op) {
  switch (op.code) {
    case Opcode::kGlobal:
      return PushGlobal(op, op.text, op.text2);
    case Opcode::kStackGlobal: {
      CKPT_TRY(const Value name, Pop(op));
      CKPT_TRY(const Value module, Pop(op));
      if (name.kind != Kind::kString || module.kind != Kind::kString)
        return Damaged(ByteOf(op), "STACK_GLOBAL needs two strings");
      return PushGlobal(op, arena_.Text(module), arena_.Text(name));
    }
    case Opcode::kBinPersId: {
      CKPT_TRY(const Value id, Pop(op));
      CKPT_TRY(const Value storage, PersistentId(op, id));
      return Push(storage);
    }
    case Opcode::kBuild:
      return Build(op);
    case Opcode::kNewObjEx: {
      CKPT_TRY(const Value named, Pop(op));
      if (named.kind != Kind::kDict || !arena_.Items(named).empty())
        return NotPlain(ByteOf(op), "NEWOBJ_EX with named arguments");
      break;
    }
    default:
      break;
  }
  CKPT_TRY(const Value arguments, Pop(op));
  CKPT_TRY(const Value callable, Pop(op));
  if (op.code == Opcode::kReduce) {
    CKPT_TRY(const Value made, Reduce(op, callable, arguments));
    return Push(made);
  }
  CKPT_TRY(const Value made, NewObject(op, callable, arguments));
  return Push(made);
}

Result<void> Machine::Step(const Op& op) {
  for (const auto step : {&Machine::StepValue, &Machine::StepContainer, &Machine::StepMemo}) {
    CKPT_TRY(const bool is_done, (this->*step)(op));
    if (is_done) return {};
  }
  return StepCall(op);
}

}  // namespace ckpt::pickle
