#pragma once

#include <memory>

#include "source/catalog.h"
#include "store/store.h"

namespace ckpt {

/// Where a source stores weights with scales beside them (scaled_tensors.h): changes its catalog to
/// the bf16 tensors that they stand for, and its store to one that reads those, dequantizing in the
/// memory that readers are given; else changes nothing. What the new store holds beside windows is
/// part of its held_bytes(). Errors: kBadInput for scales that do not fit; when read, for a NaN,
/// with tensor and index.
Result<void> ReadScaledAsBF16(std::shared_ptr<Store>& store, Catalog& catalog);

}  // namespace ckpt
