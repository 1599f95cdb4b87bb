#include "source/orbax/reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "base/text.h"
#include "base/units.h"
#include "format/orbax/metadata.h"
#include "format/orbax/msgpack.h"
#include "source/orbax/arrays.h"
#include "source/orbax/database.h"
#include "source/orbax/item.h"
#include "source/orbax/key_table.h"
#include "source/reading.h"

namespace ckpt {
namespace {

constexpr uint64_t kDecodeBytesPerAggregateByte = 128;  // a leaf of an empty name takes 2 bytes

// Memory that a text takes once decoded.
struct DecodeBytes {
  uint64_t per_byte = 0;
  uint64_t most = 0;
  uint64_t Of(uint64_t size_bytes) const { return std::min(size_bytes * per_byte, most); }
};

// A whole small file of the item, with memory for what it decodes to.
struct SmallFile {
  std::string text;
  Grant grant;
};

Result<SmallFile> ReadSmall(OrbaxItem& item, MemoryBudget& budget, std::string_view name,
                            uint64_t limit_bytes, const DecodeBytes& decode) {
  const ObjectInfo& info = *item.Find(name);
  if (info.size_bytes > limit_bytes)
    return Fail(InFile(item.store(), info.name)(
        {Code::kBadInput,
         fmt::format("{} of text, at most {} are read", FormatBytes(info.size_bytes),
                     FormatMemory(limit_bytes)),
         {},
         {},
         "the checkpoint is damaged: fetch it again"}));
  SmallFile file;
  CKPT_TRY(file.grant, GrantNow(budget, info.size_bytes + decode.Of(info.size_bytes),
                                fmt::format("the checkpoint's {}", name)));
  CKPT_TRY(file.text, item.store().ReadWhole(info.name, limit_bytes));
  return file;
}

// The keys of an item without a database: its files.
Result<void> ListFiles(OrbaxItem& item, KeyTable& keys) {
  for (const ObjectInfo& object : item.all()) {
    const std::string_view name = std::string_view(object.name).substr(item.folder().size());
    if (name.find('/') == std::string_view::npos) continue;  // the item's own files
    CKPT_TRY_VOID(keys.AddStored("", name, {item.Use(object), 0, object.size_bytes}));
  }
  return {};
}

// "a.b/zarr.json" ends with the part "zarr.json".
bool EndsWithPart(std::string_view key, std::string_view part) {
  return key.size() > part.size() + 1 && key.ends_with(part) &&
         key[key.size() - part.size() - 1] == '/';
}

bool HasZarr3(const KeyTable& keys) {
  for (size_t i = 0; i < keys.size(); ++i) {
    if (EndsWithPart(keys[i].key, kZarrV3Name)) return true;
  }
  return false;
}

// The tree that the keys let us guess: every dot may have been a level, or part of a name.
OrbaxMetadata GuessTree(const KeyTable& keys) {
  OrbaxMetadata tree;
  for (size_t i = 0; i < keys.size(); ++i) {
    const std::string_view key = keys[i].key;
    const bool is_v3 = EndsWithPart(key, kZarrV3Name);
    if (!is_v3 && !EndsWithPart(key, kZarrV2Name)) continue;
    std::string_view name =
        key.substr(0, key.size() - 1 - (is_v3 ? kZarrV3Name : kZarrV2Name).size());
    OrbaxLeaf leaf;
    for (size_t begin = 0; begin <= name.size();) {
      const size_t end = std::min(name.find('.', begin), name.size());
      leaf.path.push_back({std::string(name.substr(begin, end - begin)), false});
      begin = end + 1;
    }
    tree.leaves.push_back(std::move(leaf));
  }
  return tree;
}

class Reader {
 public:
  Reader(Store& store, const std::string& folder, std::span<const ObjectInfo> all,
         MemoryBudget& budget)
      : item_(store, folder, all), budget_(budget), keys_(budget) {
    catalog_.format = "orbax";
    catalog_.root = store.root();
  }

  Result<Catalog> Read() {
    CKPT_TRY_VOID(ReadTree());
    if (item_.Has(kOcdbtManifestName)) {
      CKPT_TRY_VOID(ReadDatabase(item_, budget_, keys_, catalog_.warnings));
    } else {
      CKPT_TRY_VOID(CheckFiles());
      CKPT_TRY_VOID(ListFiles(item_, keys_));
    }
    if (!tree_) {
      CKPT_TRY_VOID(guess_grant_.Add(keys_.size() * sizeof(OrbaxLeaf)));
      tree_ = GuessTree(keys_);
      catalog_.warnings.emplace_back(
          "the checkpoint has no _METADATA: the tree is guessed from the arrays' names, where a "
          "dot may also be part of a key");
    }
    if (!item_.Has(kOrbaxMetadataName)) tree_->use_zarr3 = HasZarr3(keys_);
    ArrayFinder finder(item_, keys_, *tree_, budget_);
    for (const OrbaxLeaf& leaf : tree_->leaves) CKPT_TRY_VOID(finder.Add(leaf, catalog_));
    catalog_.header_bytes += item_.read_bytes();
    catalog_.objects = item_.TakeObjects();
    CKPT_TRY_VOID(SortTensors(catalog_));
    return std::move(catalog_);
  }

 private:
  Result<void> ReadTree() {
    if (item_.Has(kOrbaxMetadataName)) {
      CKPT_TRY(SmallFile file, ReadSmall(item_, budget_, kOrbaxMetadataName, kOrbaxMaxMetadataBytes,
                                         {kDecodeBytesPerMetadataByte, UINT64_MAX}));
      catalog_.header_bytes += file.text.size();
      CKPT_TRY(tree_, DecodeOrbaxMetadata(file.text).map_error(
                          InFile(item_.store(), item_.folder() + std::string(kOrbaxMetadataName))));
      tree_grant_ = std::move(file.grant);
      return {};
    }
    if (!item_.Has(kOrbaxAggregateName)) return {};
    CKPT_TRY(SmallFile file, ReadSmall(item_, budget_, kOrbaxAggregateName, kOrbaxMaxAggregateBytes,
                                       {kDecodeBytesPerAggregateByte, kOrbaxMostAggregateMemory}));
    catalog_.header_bytes += file.text.size();
    CKPT_TRY(std::vector<OrbaxLeaf> leaves,
             DecodeOrbaxAggregate(file.text).map_error(
                 InFile(item_.store(), item_.folder() + std::string(kOrbaxAggregateName))));
    tree_grant_ = std::move(file.grant);
    tree_ = OrbaxMetadata();
    tree_->leaves = std::move(leaves);
    catalog_.warnings.emplace_back(
        "the checkpoint has no _METADATA: the tree is taken from its file \"checkpoint\"");
    return {};
  }

  // A checkpoint whose tree says that it has a database must have one.
  Result<void> CheckFiles() const {
    const bool has_database = tree_ && tree_->use_ocdbt == true;
    const bool has_arrays =
        std::any_of(item_.all().begin(), item_.all().end(), [&](const ObjectInfo& object) {
          const std::string_view name = BaseName(object.name);
          return name == kZarrV2Name || name == kZarrV3Name;
        });
    if (has_arrays || !tree_ || (!has_database && tree_->leaves.empty())) return {};
    return Fail(InFile(item_.store(), item_.folder() + std::string(kOcdbtManifestName))(
        {Code::kBadInput,
         "the checkpoint has no manifest.ocdbt, and no arrays as files",
         {},
         {},
         "it was not finished, or the copy is incomplete: fetch the whole checkpoint again"}));
  }

  OrbaxItem item_;
  MemoryBudget& budget_;
  KeyTable keys_;
  GrowingGrant guess_grant_{budget_, "the checkpoint's tree"};
  Grant tree_grant_;
  std::optional<OrbaxMetadata> tree_;
  Catalog catalog_;
};

}  // namespace

Result<Catalog> ReadOrbax(Store& store, const std::string& item, std::span<const ObjectInfo> all,
                          MemoryBudget& budget) {
  return Reader(store, item, all, budget).Read().map_error(InFile(store, item));
}

}  // namespace ckpt
