#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "store/file/file_store.h"
#include "store/file/io_pool.h"
#include "store/store.h"

namespace ckpt {

/// Opens the file at `path` for reading at the generation of `info`. `place` is what errors call
/// it. The reader must not outlive `pool`.
Result<std::unique_ptr<ObjectReader>> OpenFileReader(IoPool& pool, IoMode mode,
                                                     const std::string& path,
                                                     const std::string& place,
                                                     const ObjectInfo& info);

}  // namespace ckpt
