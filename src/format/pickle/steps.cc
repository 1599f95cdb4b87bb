// What each opcode does to the stack.
#include <fmt/format.h>

#include <utility>

#include "format/pickle/machine.h"
#include "format/pickle/refusal.h"

namespace ckpt::pickle {
Result<bool> Machine::StepValue(const Op& op) {
  const auto done = [](Result<void> result) { return std::move(result).map([] { return true; }); };
  switch (op.code) {
    case Opcode::kNone:
      return done(Push({}));
    case Opcode::kNewTrue:
    case Opcode::kNewFalse:
      return done(Push({Kind::kBool, 0, op.code == Opcode::kNewTrue ? 1 : 0}));
    case Opcode::kBinInt:
      return done(Push({Kind::kInt, 0, static_cast<int32_t>(op.number)}));
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
      CKPT_TRY(const Value made,
               NewContainer(op.code == Opcode::kEmptyDict ? Kind::kDict : Kind::kList));
      CKPT_TRY_VOID(Push(made));
      return true;
    }
    case Opcode::kEmptyTuple:
      CKPT_TRY_VOID(PushTuple(op, 0));
      return true;
    case Opcode::kTuple1:
    case Opcode::kTuple2:
    case Opcode::kTuple3:
      CKPT_TRY_VOID(
          PushTuple(op, static_cast<size_t>(op.code) - static_cast<size_t>(Opcode::kTuple1) + 1));
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
