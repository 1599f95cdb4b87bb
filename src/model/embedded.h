#pragma once

#include <span>
#include <string_view>

namespace ckpt {

/// A table of models/, as embedded at build time (embed.cmake).
struct EmbeddedTable {
  std::string_view file;  ///< "models/llama.toml"
  std::string_view toml;
};
std::span<const EmbeddedTable> EmbeddedTables();

}  // namespace ckpt
