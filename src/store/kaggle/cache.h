#pragma once

#include <optional>
#include <string>

#include "base/result.h"
#include "store/kaggle/handle.h"

namespace ckpt {

/// The folder of the version (of the newest one, where the handle names none) in kagglehub's cache:
/// models/owner/model/framework/variation/version below `cache_folder`, the framework in any case.
/// Only with the marker version.complete beside it: without, the folder is partial. Nothing where
/// there is none.
std::optional<std::string> FindInKaggleCache(const std::string& cache_folder,
                                             const KaggleHandle& handle);

}  // namespace ckpt
