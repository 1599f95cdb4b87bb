#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/memory_budget.h"
#include "base/result.h"
#include "source/catalog.h"
#include "store/store.h"

namespace ckpt {

/// An Orbax item (docs/formats/orbax.md): the folder `item` ("" or with its '/') with arrays in an
/// OCDBT database or as files. format "orbax"; tensors are named by their key paths joined with
/// '/', and are chunked; leaves without data are noted in empty_leaves. The tree comes from
/// "_METADATA", else from "checkpoint", else it is guessed from the keys with a warning. `all`: the
/// objects below the item, sorted by name. Errors: kBadInput with file, byte, tensor, key;
/// kResources if the budget has no room for the tables; those of the store.
Result<Catalog> ReadOrbax(Store& store, const std::string& item, std::span<const ObjectInfo> all,
                          MemoryBudget& budget);

}  // namespace ckpt
