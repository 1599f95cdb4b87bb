#pragma once

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "tests/read_file.h"

namespace ckpt {

/// A good safetensors file in memory.
struct Safetensors {
  explicit Safetensors(const std::filesystem::path& path) : file(ReadFile(path)) {
    uint64_t header_bytes = 0;
    std::memcpy(&header_bytes, file.data(), sizeof(header_bytes));
    header = nlohmann::json::parse(file.substr(8, header_bytes));
    data = std::string_view(file).substr(8 + header_bytes);
  }
  std::string_view Bytes(const std::string& name) const {
    const auto offsets = header.at(name).at("data_offsets").get<std::vector<size_t>>();
    return data.substr(offsets[0], offsets[1] - offsets[0]);
  }
  std::vector<size_t> Shape(const std::string& name) const { return header.at(name).at("shape"); }

  std::string file;
  nlohmann::json header;
  std::string_view data;
};

/// `ours` beside the bytes of a tensor.
template <class T>
bool SameBytes(const std::vector<T>& ours, std::string_view theirs) {
  return ours.size() * sizeof(T) == theirs.size() &&
         std::memcmp(ours.data(), theirs.data(), theirs.size()) == 0;
}

}  // namespace ckpt
