#pragma once

#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "store/store.h"

namespace ckpt {

/// Every regular file below `folder` of `root`, links to files included, links to folders not
/// entered; sorted by name, names relative to `root`. Empty where the folder does not exist.
/// kBadInput if the root is a file, kDenied for an unreadable folder (place "folder"), kInterrupted
/// when stopped.
Result<std::vector<ObjectInfo>> ListFiles(const std::string& root, std::string_view folder,
                                          const std::stop_token& stop);

}  // namespace ckpt
