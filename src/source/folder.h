#pragma once

#include <string_view>

#include "base/memory_budget.h"
#include "base/result.h"
#include "source/catalog.h"
#include "store/store.h"

namespace ckpt {

/// The catalog of what lies in `folder` ("" or with its '/'), in the order that open.h says;
/// `format` is the user's word, or
/// "". Errors: as OpenSource.
Result<Catalog> OpenFolder(Store& store, std::string_view folder, std::string_view format,
                           MemoryBudget& budget);

/// Whether a file of this name may be PyTorch's, besides those that end with .bin.
bool IsTorchName(std::string_view name);

}  // namespace ckpt
