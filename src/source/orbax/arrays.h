#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/memory_budget.h"
#include "base/result.h"
#include "format/orbax/metadata.h"
#include "source/catalog.h"
#include "source/orbax/item.h"
#include "source/orbax/key_table.h"

namespace ckpt {

/// Finds the arrays of a tree's leaves among the keys and puts them into a catalog.
class ArrayFinder {
 public:
  /// `tree`: how chunks that are not stored are understood, and which metadata to expect. All must
  /// outlive it.
  ArrayFinder(OrbaxItem& item, const KeyTable& keys, const OrbaxMetadata& tree,
              MemoryBudget& budget)
      : item_(item),
        keys_(keys),
        tree_(tree),
        budget_(budget),
        grant_(budget, "the chunk tables") {}

  /// Adds the leaf's tensor, or its note where it has no array. Errors: kBadInput with tensor and
  /// key: no or damaged metadata, a chunk that is missing or cannot be what it should, a name that
  /// is not UTF-8; kResources.
  Result<void> Add(const OrbaxLeaf& leaf, Catalog& catalog);

 private:
  Result<TensorEntry> Find(const OrbaxLeaf& leaf, std::vector<std::string>& warnings);
  Result<ZarrArrayMeta> ReadMeta(const std::string& name, std::vector<std::string>& warnings);
  Result<void> PlaceChunks(const std::string& name, const ZarrArrayMeta& meta,
                           ChunkedTensor& chunked);
  Result<void> CheckPlace(const ZarrArrayMeta& meta, const KeyTable::Entry& entry) const;
  Result<void> CheckAllThere(const std::string& name, const ChunkedTensor& chunked,
                             std::vector<std::string>& warnings) const;

  OrbaxItem& item_;
  const KeyTable& keys_;
  const OrbaxMetadata& tree_;
  MemoryBudget& budget_;
  GrowingGrant grant_;
  uint64_t visited_keys_ = 0;
};

}  // namespace ckpt
