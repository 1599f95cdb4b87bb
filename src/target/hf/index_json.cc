#include "target/hf/index_json.h"

#include <nlohmann/json.hpp>

namespace ckpt {

std::string PrintIndex(const OutputSpec& output) {
  uint64_t total = 0;
  // Sorted by key, byte by byte, which is Python's order of code points too.
  nlohmann::json map = nlohmann::json::object();
  for (const FileSpec& file : output.files) {
    total += file.size_bytes - file.header.size();
    for (const size_t i : file.arrays) map[output.arrays[i].name] = file.name;
  }
  const nlohmann::json index = {{"metadata", {{"total_size", total}}}, {"weight_map", map}};
  return index.dump(2, ' ', /*ensure_ascii=*/true) + "\n";
}

}  // namespace ckpt
