#pragma once

#include <string>

#include "base/result.h"
#include "cli/registry.h"
#include "source/catalog.h"

namespace ckpt {

/// Reads a local config.json and gives it to the catalog in place of one that it has. Errors:
/// kNotFound, kDenied, kBadInput with the file.
Result<void> UseConfigFile(const std::string& path, Catalog& catalog);

/// What an output was written by and does not tell itself; "" for what is not known.
struct KeptNames {
  std::string model_name;   ///< --model
  std::string rope_layout;  ///< as it was settled
};

/// Looks for the report of the run that made `source` (an output of ours), in the state folder of
/// the source or of one of the folders above it: takes the config.json that it has kept, unless the
/// catalog has one. Where there is no report, nothing changes.
Result<KeptNames> UseReport(const std::string& source, const StoreAccess& access, Catalog& catalog);

}  // namespace ckpt
