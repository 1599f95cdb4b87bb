#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/memory_budget.h"
#include "base/result.h"
#include "source/catalog.h"
#include "source/orbax/key_table.h"
#include "store/store.h"

namespace ckpt {

/// The objects of one item folder, and reading them in part. Names are relative to the folder.
/// Store and listing must outlive it. Not thread-safe.
class OrbaxItem {
 public:
  /// `folder`: "" or with its '/'. `all`: objects of the store, sorted by name; those that do not
  /// lie below the folder are left out.
  OrbaxItem(Store& store, std::string folder, std::span<const ObjectInfo> all);

  Store& store() const { return store_; }
  const std::string& folder() const { return folder_; }
  /// All objects below the folder, under their full names.
  std::span<const ObjectInfo> all() const { return all_; }
  /// The object with this name below the folder, or null.
  const ObjectInfo* Find(std::string_view name) const;
  bool Has(std::string_view name) const { return Find(name) != nullptr; }

  /// An object's number in the catalog, given at first use. Errors: kBadInput if there is none, or
  /// for a name that leads elsewhere (with the place "file").
  Result<uint32_t> Use(std::string_view name);
  uint32_t Use(const ObjectInfo& object);
  /// By number.
  const ObjectInfo& object(uint32_t number) const { return objects_[number]; }
  /// Bytes of a used object. kBadInput if they lie beyond its end (with the place "file").
  Result<void> Read(uint32_t object, uint64_t offset, std::span<std::byte> into);

  uint64_t read_bytes() const { return read_bytes_; }
  std::vector<ObjectInfo> TakeObjects() { return std::move(objects_); }

 private:
  Store& store_;
  const std::string folder_;
  const std::span<const ObjectInfo> all_;
  std::vector<ObjectInfo> objects_;
  std::map<std::string, uint32_t, std::less<>> numbers_;  // by full name
  std::unique_ptr<ObjectReader> reader_;                  // the one that was read last
  uint32_t open_object_ = 0;
  uint64_t read_bytes_ = 0;
};

}  // namespace ckpt
