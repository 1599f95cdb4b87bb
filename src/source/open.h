#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/memory_budget.h"
#include "base/result.h"
#include "source/catalog.h"
#include "store/store.h"

namespace ckpt {

/// A store and the object in it that a user's source argument names ("" for a folder).
struct SourcePlace {
  std::shared_ptr<Store> store;  // shared: readers of the run and the catalog's maker both hold it
  std::string object;            // "model.safetensors", "model-Q4_1.gguf" or ""
  std::string format = {};       // "safetensors", "torch", "gguf", "orbax": the user's; or ""
};

/// Finds out by content (never by extension alone) what lies at `place`, reads its headers and
/// makes the catalog. Order in a folder: model.safetensors.index.json, model.safetensors, exactly
/// one
/// *.safetensors, all of model-*-of-NNNNN.safetensors (a warning names other forms that lie there
/// too); then PyTorch: pytorch_model.bin.index.json, pytorch_model.bin, one .bin or all parts of a
/// set, Meta's consolidated.NN.pth, one .pth or .ckpt, one or several .pt; then *.gguf (one file,
/// or one complete split set), then an Orbax checkpoint: the item's folder, or one above it
/// (source/orbax/locate.h). Header memory is granted by `budget` while parsing. Errors: kNotFound
/// (nothing there: lists what was seen), kBadInput with file, tensor and byte.
Result<Catalog> OpenSource(const SourcePlace& place, MemoryBudget& budget);

}  // namespace ckpt
