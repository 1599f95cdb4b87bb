#pragma once

#include <memory>
#include <string>
#include <vector>

#include "store/gs/client.h"
#include "store/store.h"

namespace ckpt::gs {

/// The object `object` of a known size, filled in any order. `name` is what ObjectInfo calls it,
/// `temporary` the folder (a whole name) for pieces and for the parts of the fallback. Must not
/// outlive `client`.
Result<std::unique_ptr<PositionedWriter>> MakePositionedWriter(Client& client, std::string object,
                                                               std::string name,
                                                               const std::string& temporary,
                                                               uint64_t size_bytes,
                                                               const CreateOptions& options);

}  // namespace ckpt::gs
