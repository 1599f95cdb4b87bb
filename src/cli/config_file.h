#pragma once

#include <string>

#include "base/result.h"
#include "cli/registry.h"
#include "source/catalog.h"

namespace ckpt {

/// Reads a local config.json and gives it to the catalog in place of one that it has. Errors:
/// kNotFound, kDenied, kBadInput with the file.
Result<void> UseConfigFile(const std::string& path, Catalog& catalog);

/// Looks for the config.json that the report of the run that made `source` (an output of ours) has
/// kept, in the state folder of the source or of one of the folders above it; where there is none,
/// nothing changes.
Result<void> UseKeptConfig(const std::string& source, const StoreAccess& access, Catalog& catalog);

}  // namespace ckpt
