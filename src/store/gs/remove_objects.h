#pragma once

#include <vector>

#include "base/result.h"
#include "store/gs/client.h"

namespace ckpt::gs {

/// Deletes these generations ("": any), several at a time. Objects that are gone are no failure;
/// the first failure is the answer, after all others were tried.
Result<void> RemoveObjects(Client& client, std::vector<ObjectMeta> objects);

}  // namespace ckpt::gs
