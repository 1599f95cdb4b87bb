#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "store/file/folder_tree.h"
#include "store/store.h"

namespace ckpt {

/// A sequential writer of the file `name` below `folders`, buffered and synchronous: for small
/// files, whose bytes are in the cache of this CPU anyway. `place` is what errors call it. Must not
/// outlive `folders`.
Result<std::unique_ptr<ObjectWriter>> CreateFileWriter(FolderTree& folders, std::string_view name,
                                                       std::string place, CreateOptions options);

}  // namespace ckpt
