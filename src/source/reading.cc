#include "source/reading.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/text.h"
#include "base/units.h"

namespace ckpt {

Result<Grant> GrantNow(MemoryBudget& budget, uint64_t bytes, std::string_view what) {
  auto grant = budget.TryAcquire(bytes);
  if (!grant)
    return Fail(Code::kResources,
                fmt::format("{} needs {} of memory, of the budget of {} there are {} free", what,
                            FormatMemory(bytes), FormatMemory(budget.limit_bytes()),
                            FormatMemory(budget.limit_bytes() - budget.used_bytes())),
                "give a larger --memory");
  return *std::move(grant);
}

bool NamesFile(const Error& error) {
  return std::any_of(error.where.begin(), error.where.end(),
                     [](const Place& place) { return place.kind == "file"; });
}

std::function<Error(Error)> InFile(const Store& store, std::string_view name) {
  return [file = Printable(store.root().PrintBelow(name))](Error error) {
    if (!NamesFile(error)) error.where.push_back({"file", file});
    return error;
  };
}

Result<void> AppendRange(ObjectReader& reader, ByteRange range, std::string& text) {
  const size_t before = text.size();
  text.resize(before + range.size());
  return reader.Read(range, std::as_writable_bytes(std::span(text)).subspan(before));
}

const ObjectInfo* FindObject(std::span<const ObjectInfo> sorted, std::string_view name) {
  const auto at = std::lower_bound(
      sorted.begin(), sorted.end(), name,
      [](const ObjectInfo& object, std::string_view wanted) { return object.name < wanted; });
  return at != sorted.end() && at->name == name ? &*at : nullptr;
}

std::string_view FolderOf(std::string_view name) {
  const size_t slash = name.rfind('/');
  return slash == std::string_view::npos ? std::string_view{} : name.substr(0, slash + 1);
}

std::string_view BaseName(std::string_view name) { return name.substr(FolderOf(name).size()); }

}  // namespace ckpt
