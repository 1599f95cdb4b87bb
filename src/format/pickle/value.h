#pragma once

#include <bit>
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "format/pickle/globals.h"

/// What a pickle builds: our values, never objects of Python. For pickle/ only.
namespace ckpt::pickle {

enum class Kind : uint8_t {
  kNone,
  kBool,    ///< number: 0 or 1
  kInt,     ///< number
  kBigInt,  ///< index: of Arena::strings, its little-endian bytes
  kDouble,  ///< number: its bits
  kString,  ///< index: of Arena::strings
  kBytes,
  kTuple,  ///< index: of Arena::containers
  kList,
  kDict,    ///< items alternate: key, value
  kOpaque,  ///< a value that is of no use to us
  kGlobal,  ///< index: of Arena::globals
  kStorage,
  kTensor,
};

/// A value by reference: containers may be shared, and may hold themselves.
struct Value {
  Kind kind = Kind::kNone;
  uint32_t index = 0;
  int64_t number = 0;
};

struct Container {
  std::vector<Value> items;
  bool is_ordered_dict = false;  ///< BUILD may follow
};

/// What a persistent id names.
struct StorageValue {
  std::string_view key;
  const Global* type = nullptr;  ///< kStorage or kUntypedStorage
  uint64_t elements = 0;         ///< of the whole storage
  uint64_t view_offset = 0;      ///< legacy: a storage that is a part of another; in elements
  uint64_t view_elements = 0;    ///< == elements where it is whole
  bool is_meta = false;          ///< has no data
  uint64_t byte = 0;             ///< of the file, where it stands
};

/// What a _rebuild function was given; checked when its name is known.
struct TensorValue {
  uint32_t storage = 0;
  const Global* type = nullptr;  ///< of its elements
  int64_t offset = 0;            ///< in elements
  std::vector<int64_t> size;
  std::vector<int64_t> stride;
  bool is_conjugated = false;
  bool is_negated = false;
  uint64_t byte = 0;
};

/// Owns all values of one pickle. Strings are views into the pickle, which must outlive it.
struct Arena {
  std::vector<std::string_view> strings;
  std::vector<Container> containers;
  std::vector<const Global*> globals;
  std::vector<StorageValue> storages;
  std::vector<TensorValue> tensors;

  std::string_view Text(const Value& value) const { return strings[value.index]; }
  const std::vector<Value>& Items(const Value& value) const {
    return containers[value.index].items;
  }
};

/// What a growing vector takes for one more, old and new memory side by side.
inline constexpr uint64_t kGrowth = 3;

/// What the values of a pickle may still take.
class MemoryLeft {
 public:
  explicit MemoryLeft(uint64_t bytes) : bytes_(bytes) {}
  /// Before `bytes` are kept. kResources if they are too many.
  Result<void> Keep(uint64_t bytes) {
    if (bytes > bytes_)
      return Fail(
          Code::kResources, "the pickle builds more values than there is memory for",
          "no state dict of real models is so large; give a larger --memory if this one is");
    bytes_ -= bytes;
    return {};
  }

 private:
  uint64_t bytes_;
};

}  // namespace ckpt::pickle
