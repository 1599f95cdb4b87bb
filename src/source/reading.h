#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/memory_budget.h"
#include "base/result.h"
#include "store/store.h"

/// What the readers of all formats share. For source/ only.
namespace ckpt {

/// The first read of a file: covers most headers.
inline constexpr uint64_t kFirstReadBytes = 256ULL * 1024;

/// Memory while headers are parsed. Never waits: the catalog is made by one thread that may hold
/// grants already, so waiting could last for ever. kResources if it is not free now; `what` says
/// for what ("the header of 3 MB").
Result<Grant> GrantNow(MemoryBudget& budget, uint64_t bytes, std::string_view what);

/// Whether the error has the place "file" already.
bool NamesFile(const Error& error);

/// Adds the place "file", unless the store has said it already.
std::function<Error(Error)> InFile(const Store& store, std::string_view name);

/// Bytes [begin, end) of an object as text.
Result<void> AppendRange(ObjectReader& reader, ByteRange range, std::string& text);

/// The object with this name in a list that is sorted by name, or null.
const ObjectInfo* FindObject(std::span<const ObjectInfo> sorted, std::string_view name);

/// "a/b/" for "a/b/c", "" for "c".
std::string_view FolderOf(std::string_view name);
/// "c" for "a/b/c".
std::string_view BaseName(std::string_view name);

}  // namespace ckpt
