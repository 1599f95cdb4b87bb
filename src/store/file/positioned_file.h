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

/// A kept file lies in NAME.part until it is whole.
inline constexpr std::string_view kPartSuffix = ".part";
inline constexpr std::string_view kPartSession = "part";

/// The writer of the file `name` below `folders` through the shared NAME.part, or a name of
/// its own in options.temporary_folder. `place` is what
/// errors call it. Must not outlive `pool` and `folders`.
Result<std::unique_ptr<PositionedWriter>> CreatePositionedFile(
    IoPool& pool, IoMode mode, FolderTree& folders, std::string_view name, std::string place,
    uint64_t size_bytes, CreateOptions options);

}  // namespace ckpt
