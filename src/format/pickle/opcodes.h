#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/result.h"

/// Cuts a pickle into opcodes. For pickle/ only.
namespace ckpt::pickle {

/// The opcodes of protocols 2 to 5 that a state dict may need. Origin: CPython, Lib/pickle.py.
enum class Opcode : uint8_t {
  kMark = '(',
  kStop = '.',
  kPop = '0',
  kPopMark = '1',
  kDup = '2',
  kBinFloat = 'G',
  kBinInt = 'J',
  kBinInt1 = 'K',
  kBinInt2 = 'M',
  kNone = 'N',
  kBinPersId = 'Q',
  kReduce = 'R',
  kBinString = 'T',
  kShortBinString = 'U',
  kBinUnicode = 'X',
  kAppend = 'a',
  kBuild = 'b',
  kGlobal = 'c',
  kAppends = 'e',
  kBinGet = 'h',
  kLongBinGet = 'j',
  kBinPut = 'q',
  kLongBinPut = 'r',
  kSetItem = 's',
  kTuple = 't',
  kSetItems = 'u',
  kEmptyDict = '}',
  kEmptyList = ']',
  kEmptyTuple = ')',
  kBinBytes = 'B',
  kShortBinBytes = 'C',
  kProto = 0x80,
  kNewObj = 0x81,
  kTuple1 = 0x85,
  kTuple2 = 0x86,
  kTuple3 = 0x87,
  kNewTrue = 0x88,
  kNewFalse = 0x89,
  kLong1 = 0x8a,
  kLong4 = 0x8b,
  kShortBinUnicode = 0x8c,
  kBinUnicode8 = 0x8d,
  kBinBytes8 = 0x8e,
  kEmptySet = 0x8f,
  kAddItems = 0x90,
  kFrozenSet = 0x91,
  kNewObjEx = 0x92,
  kStackGlobal = 0x93,
  kMemoize = 0x94,
  kFrame = 0x95,
};

/// One opcode with its argument.
struct Op {
  Opcode code = Opcode::kStop;
  uint64_t at = 0;           ///< its place in the pickle
  uint64_t number = 0;       ///< a fixed argument, little endian
  std::string_view text;     ///< a counted argument, or GLOBAL's module; a view into the pickle
  std::string_view text2{};  ///< GLOBAL's name
};

/// "REDUCE"; the number in hexadecimal for those that are no opcode.
std::string_view OpcodeName(Opcode code);

/// The opcode at `at`, which moves behind it. Nothing where the pickle ends first. kBadInput, with
/// the byte counted from `first_byte`, for opcodes that no state dict needs.
Result<std::optional<Op>> NextOp(std::string_view pickle, uint64_t first_byte, uint64_t& at);

/// The length of the pickle that `front` begins with, STOP included; nothing where `front` ends
/// first. Errors as NextOp.
Result<std::optional<uint64_t>> FindLength(std::string_view front, uint64_t first_byte);

}  // namespace ckpt::pickle
