#pragma once

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "format/pickle/opcodes.h"
#include "format/pickle/value.h"

namespace ckpt::pickle {

/// Where a pickle lies, for messages.
struct PicklePlace {
  std::string_view name = "data.pkl";  ///< "at byte 2 of data.pkl"
  uint64_t first_byte = 0;             ///< of the file of that name
};

/// Runs one pickle. Never imports or calls anything: a function is known by its name (globals.h),
/// and what it would have made is made by rebuild.cc. No recursion. For pickle/ only.
class Machine {
 public:
  /// `pickle` must outlive the machine.
  Machine(std::string_view pickle, PicklePlace place, MemoryLeft& memory)
      : pickle_(pickle), place_(place), memory_(memory) {}

  /// The value at STOP, which must be the pickle's last byte and the only value left. Errors:
  /// kBadInput with the byte, kResources.
  Result<Value> Run();
  Arena& arena() { return arena_; }

 private:
  Result<void> Step(const Op& op);
  Result<bool> StepValue(const Op& op);
  Result<bool> StepContainer(const Op& op);
  Result<bool> StepMemo(const Op& op);
  Result<void> StepCall(const Op& op);

  uint64_t ByteOf(const Op& op) const { return place_.first_byte + op.at; }
  tl::unexpected<Error> Underflow(const Op& op) const;
  Result<void> Push(Value value);
  Result<void> PushText(Kind kind, std::string_view text);
  Result<void> PushInt(const Op& op, std::string_view bytes);
  Result<void> PushTuple(const Op& op, size_t count);
  Result<void> PushGlobal(const Op& op, std::string_view module, std::string_view name);
  Result<Value> Pop(const Op& op);
  /// The values above the last mark, which goes away with them.
  Result<std::vector<Value>> PopMark(const Op& op);
  Result<Value> NewContainer(Kind kind);
  Result<void> Append(const Op& op, const Value& container, const std::vector<Value>& values);
  Result<void> Put(uint64_t index, const Op& op);
  Result<void> Get(const Op& op);
  Result<void> Build(const Op& op);

  // rebuild.cc
  Result<Value> Reduce(const Op& op, const Value& callable, const Value& arguments);
  Result<Value> NewObject(const Op& op, const Value& type, const Value& arguments);
  Result<Value> Rebuild(const Op& op, const Global& function, const std::vector<Value>& arguments);
  Result<Value> RebuildTensor(const Op& op, const Global& function,
                              const std::vector<Value>& arguments);
  Result<Value> RebuildFromType(const Op& op, const std::vector<Value>& arguments);
  Result<void> ReadMetadata(const Op& op, const Value& metadata, TensorValue& tensor) const;
  Result<std::vector<int64_t>> Integers(const Op& op, const Value& tuple,
                                        std::string_view what) const;
  Result<Value> PersistentId(const Op& op, const Value& id);
  Result<void> ReadView(const Op& op, const Value& view, StorageValue& storage) const;
  const Global* GlobalOf(const Value& value) const;

  const std::string_view pickle_;
  const PicklePlace place_;
  MemoryLeft& memory_;
  Arena arena_;
  std::vector<Value> stack_;
  size_t deepest_ = 0;  // the stack's greatest size so far
  std::vector<size_t> marks_;
  std::unordered_map<uint64_t, Value> memo_;
};

}  // namespace ckpt::pickle
