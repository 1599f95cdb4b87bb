#pragma once

#include <filesystem>

namespace ckpt {

/// The folder of the tests' data. Tests run in the root of the clone (ctest sees to it), so that
/// the same compiled test serves all clones.
inline std::filesystem::path TestData() { return "tests"; }

}  // namespace ckpt
