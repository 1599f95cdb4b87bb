#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "format/json/json.h"

/// For format/zarr only: the metadata of one array is small, so that a tree of it is cheap.
namespace ckpt::zarr {

inline constexpr size_t kMaxJsonValues = 4096;

/// One JSON value; a container's begins stand for it. `kind` is never an end or a key.
struct JsonValue {
  json::Kind kind = json::Kind::kNull;
  std::string text;
  uint64_t unsigned_value = 0;
  int64_t negative_value = 0;
  double float_value = 0;
  bool is_true = false;
  std::string key;                 ///< of a member of an object
  std::vector<JsonValue> members;  ///< of an object or an array

  bool is_null() const { return kind == json::Kind::kNull; }
  bool is_object() const { return kind == json::Kind::kBeginObject; }
  bool is_array() const { return kind == json::Kind::kBeginArray; }
  bool is_string() const { return kind == json::Kind::kString; }
  /// The member of an object, or null where there is none.
  const JsonValue* Find(std::string_view name) const;
};

/// The member of an object that may itself not be there.
inline const JsonValue* FindIn(const JsonValue* object, std::string_view name) {
  return object != nullptr ? object->Find(name) : nullptr;
}

/// Errors: kBadInput with the byte: no JSON, a key twice in one object, over kMaxJsonValues values.
Result<JsonValue> ReadJsonTree(std::string_view text);

}  // namespace ckpt::zarr
