#include "store/hub/read_only_store.h"

#include "base/text.h"

namespace ckpt {

tl::unexpected<Error> ReadOnlyStore::Refuse(std::string_view name) const {
  return Fail({Code::kUsage,
               Printable(root().Print()) + " is read-only",
               {},
               {{"file", Printable(root().PrintBelow(name))}},
               "name a local folder or a bucket for what is written"});
}

Result<std::unique_ptr<ObjectWriter>> ReadOnlyStore::Create(std::string_view name,
                                                            CreateOptions /*options*/) {
  return Refuse(name);
}

Result<std::unique_ptr<PositionedWriter>> ReadOnlyStore::CreatePositioned(
    std::string_view name, uint64_t /*size_bytes*/, CreateOptions /*options*/) {
  return Refuse(name);
}

Result<void> ReadOnlyStore::Remove(std::string_view name) { return Refuse(name); }

Result<void> ReadOnlyStore::RemoveAll(std::string_view folder) { return Refuse(folder); }

}  // namespace ckpt
