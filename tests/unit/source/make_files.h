#pragma once

#include <string>
#include <utility>
#include <vector>

#include "format/safetensors/header.h"
#include "tests/unit/format/gguf_builder.h"

namespace ckpt {

/// A safetensors file of U8 vectors {name, length}; the data bytes count 0, 1, 2, ...
inline std::string SafetensorsFile(const std::vector<std::pair<std::string, uint64_t>>& tensors,
                                   const std::optional<safetensors::Metadata>& metadata = {}) {
  std::vector<safetensors::TensorSpec> specs;
  specs.reserve(tensors.size());
  for (const auto& [name, length] : tensors) specs.push_back({name, DType::kU8, {length}});
  auto header = safetensors::EncodeHeader(std::move(specs), metadata);
  std::string file = std::move(header->bytes);
  for (uint64_t i = 0; i < header->data_bytes; ++i)
    file += static_cast<char>(static_cast<unsigned char>(i));
  return file;
}

/// A GGUF file of one F32 vector of `length`, with the keys of part `number` (from 0) of `count`
/// where count > 1.
inline std::string GgufFile(const std::string& tensor, uint64_t length, uint32_t number = 0,
                            uint32_t count = 1, uint32_t tensors_in_set = 0) {
  GgufBytes file;
  file.Begin(1, count > 1 ? 4 : 1).Text("general.architecture").U32(8).Text("llama");
  if (count > 1)
    file.Key("split.no", number)
        .Key("split.count", count)
        .Key("split.tensors.count", tensors_in_set);
  return file.Tensor(tensor, {length}, 0, 0).Data(4ULL * length).bytes();
}

}  // namespace ckpt
