#include "format/pickle/opcodes.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <span>
#include <string>

#include "base/endian.h"

namespace ckpt::pickle {
namespace {

enum class Argument : uint8_t {
  kRefused,
  kNone,
  kFixed,    // `bytes` of them
  kCounted,  // a count of `bytes`, then so many bytes
  kLines,    // two lines
};
struct Form {
  std::string_view name;
  Argument argument = Argument::kRefused;
  uint8_t bytes = 0;
};

constexpr std::array<Form, 256> MakeForms() {
  std::array<Form, 256> forms{};
  const auto set = [&](Opcode code, std::string_view name, Argument argument = Argument::kNone,
                       uint8_t bytes = 0) {
    forms[static_cast<uint8_t>(code)] = {name, argument, bytes};
  };
  set(Opcode::kMark, "MARK");
  set(Opcode::kStop, "STOP");
  set(Opcode::kPop, "POP");
  set(Opcode::kPopMark, "POP_MARK");
  set(Opcode::kDup, "DUP");
  set(Opcode::kBinFloat, "BINFLOAT", Argument::kFixed, 8);
  set(Opcode::kBinInt, "BININT", Argument::kFixed, 4);
  set(Opcode::kBinInt1, "BININT1", Argument::kFixed, 1);
  set(Opcode::kBinInt2, "BININT2", Argument::kFixed, 2);
  set(Opcode::kNone, "NONE");
  set(Opcode::kBinPersId, "BINPERSID");
  set(Opcode::kReduce, "REDUCE");
  set(Opcode::kBinString, "BINSTRING", Argument::kCounted, 4);
  set(Opcode::kShortBinString, "SHORT_BINSTRING", Argument::kCounted, 1);
  set(Opcode::kBinUnicode, "BINUNICODE", Argument::kCounted, 4);
  set(Opcode::kAppend, "APPEND");
  set(Opcode::kBuild, "BUILD");
  set(Opcode::kGlobal, "GLOBAL", Argument::kLines);
  set(Opcode::kAppends, "APPENDS");
  set(Opcode::kBinGet, "BINGET", Argument::kFixed, 1);
  set(Opcode::kLongBinGet, "LONG_BINGET", Argument::kFixed, 4);
  set(Opcode::kBinPut, "BINPUT", Argument::kFixed, 1);
  set(Opcode::kLongBinPut, "LONG_BINPUT", Argument::kFixed, 4);
  set(Opcode::kSetItem, "SETITEM");
  set(Opcode::kTuple, "TUPLE");
  set(Opcode::kSetItems, "SETITEMS");
  set(Opcode::kEmptyDict, "EMPTY_DICT");
  set(Opcode::kEmptyList, "EMPTY_LIST");
  set(Opcode::kEmptyTuple, "EMPTY_TUPLE");
  set(Opcode::kBinBytes, "BINBYTES", Argument::kCounted, 4);
  set(Opcode::kShortBinBytes, "SHORT_BINBYTES", Argument::kCounted, 1);
  set(Opcode::kProto, "PROTO", Argument::kFixed, 1);
  set(Opcode::kNewObj, "NEWOBJ");
  set(Opcode::kTuple1, "TUPLE1");
  set(Opcode::kTuple2, "TUPLE2");
  set(Opcode::kTuple3, "TUPLE3");
  set(Opcode::kNewTrue, "NEWTRUE");
  set(Opcode::kNewFalse, "NEWFALSE");
  set(Opcode::kLong1, "LONG1", Argument::kCounted, 1);
  set(Opcode::kLong4, "LONG4", Argument::kCounted, 4);
  set(Opcode::kShortBinUnicode, "SHORT_BINUNICODE", Argument::kCounted, 1);
  set(Opcode::kBinUnicode8, "BINUNICODE8", Argument::kCounted, 8);
  set(Opcode::kBinBytes8, "BINBYTES8", Argument::kCounted, 8);
  set(Opcode::kEmptySet, "EMPTY_SET");
  set(Opcode::kAddItems, "ADDITEMS");
  set(Opcode::kFrozenSet, "FROZENSET");
  set(Opcode::kNewObjEx, "NEWOBJ_EX");
  set(Opcode::kStackGlobal, "STACK_GLOBAL");
  set(Opcode::kMemoize, "MEMOIZE");
  set(Opcode::kFrame, "FRAME", Argument::kFixed, 8);
  // Known, and of no use to a state dict: protocol 0's texts, instances by name, extensions,
  // buffers.
  const auto refuse = [&](uint8_t code, std::string_view name) {
    forms[code] = {name, Argument::kRefused, 0};
  };
  refuse('I', "INT");
  refuse('L', "LONG");
  refuse('F', "FLOAT");
  refuse('S', "STRING");
  refuse('V', "UNICODE");
  refuse('g', "GET");
  refuse('p', "PUT");
  refuse('d', "DICT");
  refuse('l', "LIST");
  refuse('i', "INST");
  refuse('o', "OBJ");
  refuse('P', "PERSID");
  refuse(0x82, "EXT1");
  refuse(0x83, "EXT2");
  refuse(0x84, "EXT4");
  refuse(0x96, "BYTEARRAY8");
  refuse(0x97, "NEXT_BUFFER");
  refuse(0x98, "READONLY_BUFFER");
  return forms;
}
constexpr std::array<Form, 256> kForms = MakeForms();

uint64_t Number(std::string_view bytes) {
  return FromLittleEndian(std::as_bytes(std::span(bytes)));
}

tl::unexpected<Error> Unknown(uint8_t code, uint64_t byte) {
  const std::string_view name = kForms[code].name;
  return Fail(
      {Code::kBadInput,
       name.empty() ? fmt::format("0x{:02x} is no opcode of a pickle", code)
                    : fmt::format("the pickle has the opcode {}, which no state dict needs", name),
       {},
       {{"byte", std::to_string(byte)}},
       name.empty() ? "the file is damaged: fetch it again"
                    : "if you trust the file, load it in Python and save it as safetensors"});
}

// A line without its end; false where the pickle ends first.
bool TakeLine(std::string_view& rest, std::string_view& line) {
  const size_t end = rest.find('\n');
  if (end == std::string_view::npos) return false;
  line = rest.substr(0, end);
  rest.remove_prefix(end + 1);
  return true;
}

}  // namespace

std::string_view OpcodeName(Opcode code) { return kForms[static_cast<uint8_t>(code)].name; }

Result<std::optional<Op>> NextOp(std::string_view pickle, uint64_t first_byte, uint64_t& at) {
  if (at >= pickle.size()) return std::optional<Op>();
  const auto code = static_cast<uint8_t>(pickle[at]);
  const Form& form = kForms[code];
  if (form.argument == Argument::kRefused) return Unknown(code, first_byte + at);
  Op op{static_cast<Opcode>(code), at, 0, {}, {}};
  std::string_view rest = pickle.substr(at + 1);
  if (form.argument == Argument::kLines) {
    if (!TakeLine(rest, op.text) || !TakeLine(rest, op.text2)) return std::optional<Op>();
  } else if (form.argument != Argument::kNone) {
    if (rest.size() < form.bytes) return std::optional<Op>();
    op.number = Number(rest.substr(0, form.bytes));
    rest.remove_prefix(form.bytes);
  }
  if (form.argument == Argument::kCounted) {
    if (op.number > rest.size()) return std::optional<Op>();
    op.text = rest.substr(0, op.number);
    rest.remove_prefix(op.number);
  }
  at = pickle.size() - rest.size();
  return std::optional(op);
}

Result<std::optional<uint64_t>> FindLength(std::string_view front, uint64_t first_byte) {
  for (uint64_t at = 0;;) {
    CKPT_TRY(const std::optional<Op> op, NextOp(front, first_byte, at));
    if (!op) return std::optional<uint64_t>();
    if (op->code == Opcode::kStop) return std::optional(at);
  }
}

}  // namespace ckpt::pickle
