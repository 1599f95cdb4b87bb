#include "source/orbax/item.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "source/reading.h"

namespace ckpt {

namespace {

// The objects whose names begin with `folder` lie side by side in a list that is sorted by name.
std::span<const ObjectInfo> Below(std::span<const ObjectInfo> sorted, std::string_view folder) {
  const auto begin = std::partition_point(
      sorted.begin(), sorted.end(), [&](const ObjectInfo& object) { return object.name < folder; });
  const auto end = std::partition_point(begin, sorted.end(), [&](const ObjectInfo& object) {
    return object.name.starts_with(folder);
  });
  return {begin, end};
}

}  // namespace

OrbaxItem::OrbaxItem(Store& store, std::string folder, std::span<const ObjectInfo> all)
    : store_(store), folder_(std::move(folder)), all_(Below(all, folder_)) {}

const ObjectInfo* OrbaxItem::Find(std::string_view name) const {
  return FindObject(all_, folder_ + std::string(name));
}

Result<uint32_t> OrbaxItem::Use(std::string_view name) {
  // A database names the same few files once for each of its keys.
  const std::string full = folder_ + std::string(name);
  if (const auto used = numbers_.find(full); used != numbers_.end()) return used->second;
  const auto in_file = InFile(store_, full);
  CKPT_TRY_VOID(SafeName(name).map_error(in_file));
  const ObjectInfo* const object = Find(name);
  if (object == nullptr)
    return Fail(in_file({Code::kBadInput,
                         "a data file of the checkpoint is missing",
                         {},
                         {},
                         "the copy is incomplete: fetch the whole checkpoint again"}));
  return Use(*object);
}

uint32_t OrbaxItem::Use(const ObjectInfo& object) {
  const auto [at, is_new] =
      numbers_.try_emplace(object.name, static_cast<uint32_t>(objects_.size()));
  if (is_new) objects_.push_back(object);
  return at->second;
}

Result<void> OrbaxItem::Read(uint32_t object, uint64_t offset, std::span<std::byte> into) {
  const ObjectInfo& info = objects_[object];
  const auto in_file = InFile(store_, info.name);
  if (offset > info.size_bytes || into.size() > info.size_bytes - offset)
    return Fail(in_file({Code::kBadInput,
                         fmt::format("truncated: {} bytes are needed at byte {}, the file has {}",
                                     into.size(), offset, info.size_bytes),
                         {},
                         {{"byte", std::to_string(offset)}},
                         "the copy is incomplete: fetch the whole checkpoint again"}));
  if (!reader_ || open_object_ != object) {
    CKPT_TRY(reader_, store_.Open(info));
    open_object_ = object;
  }
  read_bytes_ += into.size();
  return reader_->Read({offset, offset + into.size()}, into).map_error(in_file);
}

}  // namespace ckpt
