#pragma once

#include <optional>
#include <string_view>

#include "store/store.h"

namespace ckpt {

/// Store::Stat() where an object that is not there is nothing, and no error. That one cannot be
/// looked at (a stop, a service that does not answer) says nothing of it, and is an error.
inline Result<std::optional<ObjectInfo>> FindObject(Store& store, std::string_view name) {
  Result<ObjectInfo> info = store.Stat(name);
  if (info) return std::optional(*std::move(info));
  if (info.error().code == Code::kNotFound) return std::optional<ObjectInfo>();
  return Fail(std::move(info).error());
}

/// Whether an object of that name and size is there.
inline Result<bool> HasObject(Store& store, std::string_view name, uint64_t size_bytes) {
  CKPT_TRY(const std::optional<ObjectInfo> found, FindObject(store, name));
  return found && found->size_bytes == size_bytes;
}

}  // namespace ckpt
