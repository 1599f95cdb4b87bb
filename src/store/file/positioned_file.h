#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "store/file/file_store.h"
#include "store/file/folder_tree.h"
#include "store/file/io_pool.h"
#include "store/store.h"

namespace ckpt {

/// The writer of the file `name` below `folders` through the shared NAME.part. `place` is what
/// errors call it. Must not outlive `pool` and `folders`.
Result<std::unique_ptr<PositionedWriter>> CreatePositionedFile(
    IoPool& pool, IoMode mode, FolderTree& folders, std::string_view name, std::string place,
    uint64_t size_bytes, CreateOptions options);

}  // namespace ckpt
