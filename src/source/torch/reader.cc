#include "source/torch/reader.h"

#include <fmt/format.h>

#include <iterator>
#include <utility>

#include "source/sharded_index.h"
#include "source/torch/file.h"

namespace ckpt {
namespace {

template <class T>
void MoveTo(std::vector<T>& from, std::vector<T>& to) {
  std::move(from.begin(), from.end(), std::back_inserter(to));
}

}  // namespace

Result<Catalog> ReadTorch(Store& store, std::vector<ObjectInfo> files, MemoryBudget& budget) {
  Catalog catalog;
  catalog.root = store.root();
  catalog.objects = std::move(files);
  for (uint32_t object = 0; object < catalog.objects.size(); ++object) {
    CKPT_TRY(TorchFile file, ReadTorchFile(store, catalog.objects[object], object, budget));
    if (object == 0) catalog.format = file.is_legacy ? "torch-legacy" : "torch-zip";
    catalog.header_bytes += file.header_bytes;
    MoveTo(file.tensors, catalog.tensors);
    MoveTo(file.checks, catalog.checks);
    for (const std::string& warning : file.warnings)
      catalog.warnings.push_back(fmt::format("{}: {}", PrintObject(catalog, object), warning));
  }
  CKPT_TRY_VOID(SortTensors(catalog));
  return catalog;
}

Result<Catalog> ReadTorchIndex(Store& store, std::string_view name, MemoryBudget& budget) {
  const auto read = [&](const ObjectInfo& object, uint32_t number) -> Result<ShardContents> {
    CKPT_TRY(TorchFile file, ReadTorchFile(store, object, number, budget));
    ShardContents contents;
    contents.header_bytes = file.header_bytes;
    contents.tensors = std::move(file.tensors);
    contents.checks = std::move(file.checks);
    contents.warnings = std::move(file.warnings);
    return contents;
  };
  return ReadShardedIndex(store, name, "torch-index", read, budget);
}

}  // namespace ckpt
