#pragma once

#include <memory>
#include <string_view>

#include "store/store.h"

namespace ckpt {

/// The half of a store that a service of others' files does not have: every write is kUsage.
class ReadOnlyStore : public Store {
 public:
  Result<std::unique_ptr<ObjectWriter>> Create(std::string_view name,
                                               CreateOptions options) override;
  Result<std::unique_ptr<PositionedWriter>> CreatePositioned(std::string_view name,
                                                             uint64_t size_bytes,
                                                             CreateOptions options) override;
  Result<void> Remove(std::string_view name) override;
  Result<void> RemoveAll(std::string_view folder) override;

 private:
  tl::unexpected<Error> Refuse(std::string_view name) const;
};

}  // namespace ckpt
