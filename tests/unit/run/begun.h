#pragma once

#include <filesystem>
#include <string>

#include "run/mark.h"

namespace ckpt {

/// Lays what another process of the run has begun into a folder, as that process would at this
/// moment; nothing where a run has begun there already. Whether it did.
inline bool CopyUnlessBegun(const std::string& begun, const std::string& folder) {
  if (std::filesystem::exists(folder + "/" + MarkName())) return false;
  std::filesystem::copy(
      begun, folder,
      std::filesystem::copy_options::recursive | std::filesystem::copy_options::overwrite_existing);
  return true;
}

}  // namespace ckpt
