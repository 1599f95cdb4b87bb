#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "store/store.h"

namespace ckpt {

/// The item folder (it holds "_METADATA" or "manifest.ocdbt") that `folder` stands for: itself; its
/// "items" or "default"; the same of its highest step (a decimal name, also zero-padded or as
/// PREFIX_N); or the only item below it. Nothing where there is no item. `all`: the objects below
/// `folder`, sorted by name. Errors: kBadInput with the place "file": a folder that is still being
/// written (its name says so, or, on gs://, the marker is missing); several items and no way to
/// choose.
Result<std::optional<std::string>> FindOrbaxItem(const Store& store, std::string_view folder,
                                                 std::span<const ObjectInfo> all);

}  // namespace ckpt
