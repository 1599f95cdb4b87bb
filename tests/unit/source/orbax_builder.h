#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "format/ocdbt/tree_builder.h"
#include "format/orbax/metadata.h"
#include "format/zarr/chunk.h"
#include "format/zarr/meta.h"
#include "tests/unit/format/hex.h"
#include "tests/unit/source/memory_store.h"

namespace ckpt {

/// Puts small Orbax checkpoints into a store, in the open so that tests can damage any part.
class OrbaxBuilder {
 public:
  /// Adds a leaf "params/NAME" and its metadata.
  OrbaxBuilder& Array(const std::string& name, const ZarrArrayMeta& meta) {
    metadata.leaves.push_back({{{"params", false}, {name, false}}, "jax.Array", false});
    metadata.use_zarr3 = meta.form == ZarrForm::kV3;
    values["params." + name + (metadata.use_zarr3 ? "/zarr.json" : "/.zarray")] =
        EncodeZarrMeta(meta);
    return *this;
  }
  /// Adds a chunk as it is stored.
  OrbaxBuilder& Chunk(const std::string& name, const ZarrArrayMeta& meta, uint64_t number,
                      std::string stored) {
    values["params." + name + "/" + ZarrChunkKey(meta, number)] = std::move(stored);
    return *this;
  }

  /// As files.
  void PutFiles(MemoryStore& store, const std::string& folder) const {
    store.Put(folder + "_METADATA", EncodeOrbaxMetadata(metadata));
    for (const auto& [key, value] : values) store.Put(folder + key, value);
  }

  /// As a database: values of more than `inline_bytes` in d/data, nodes of `node_bytes` in d/nodes.
  void PutDatabase(MemoryStore& store, const std::string& folder, uint64_t inline_bytes = 16,
                   uint32_t node_bytes = 8U << 20U) const {
    std::string data;
    std::string nodes;
    OcdbtConfig config;
    config.max_decoded_node_bytes = node_bytes;
    OcdbtTreeBuilder builder(
        {"d/data"}, "d/nodes", config, [&](std::span<const std::byte> bytes) -> Result<void> {
          nodes.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
          return {};
        });
    for (const auto& [key, value] : values) {
      OcdbtEntry entry{key, value};
      if (value.size() > inline_bytes) {
        entry.value = OcdbtRange{0, data.size(), value.size()};
        data += value;
      }
      CKPT_CHECK(builder.Add(std::move(entry)));
    }
    store.Put(folder + "manifest.ocdbt", builder.Finish().value());
    store.Put(folder + "d/nodes", nodes);
    store.Put(folder + "d/data", data);
    store.Put(folder + "_METADATA", EncodeOrbaxMetadata(metadata));
  }

  OrbaxMetadata metadata{{}, false, true, true};
  std::map<std::string, std::string> values;
};

/// "abc..." of any length, distinct over 251 bytes.
inline std::string Counting(uint64_t size, uint64_t from = 0) {
  std::string text(size, '\0');
  for (uint64_t i = 0; i < size; ++i)
    text[i] = static_cast<char>(static_cast<unsigned char>((from + i) % 251));
  return text;
}

}  // namespace ckpt
