#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace ckpt {

/// All bytes of a file of this machine, read in one call: also in a build that is not optimized,
/// where a loop over the bytes of a model would be most of a test's time.
inline std::string ReadFile(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file) << path;
  std::string bytes(file ? std::filesystem::file_size(path) : 0, '\0');
  file.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  EXPECT_EQ(static_cast<size_t>(file.gcount()), bytes.size()) << path;
  return bytes;
}

}  // namespace ckpt
