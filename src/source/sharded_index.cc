#include "source/sharded_index.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <set>
#include <tuple>
#include <utility>

#include "base/text.h"
#include "format/safetensors/index.h"
#include "source/reading.h"

namespace ckpt {
namespace {

constexpr size_t kTensorsShown = 5;  // each a detail of its own

// Joins the index with the headers of its shards.
class IndexJoin {
 public:
  IndexJoin(Store& store, std::string_view name, std::string format, safetensors::Index index)
      : store_(store),
        name_(name),
        index_(std::move(index)),
        is_found_(index_.entries.size(), false) {
    catalog_.format = std::move(format);
    catalog_.root = store.root();
  }

  // All that is missing is said at once.
  Result<void> FindShards() {
    std::vector<std::string> missing;
    for (const std::string& shard : index_.shards) {
      CKPT_TRY_VOID(SafeName(shard).map_error(Where("key", "weight_map")));
      auto info = store_.Stat(std::string(FolderOf(name_)) + shard);
      if (info)
        catalog_.objects.push_back(*std::move(info));
      else if (info.error().code == Code::kNotFound)
        missing.push_back(shard);
      else
        return Fail(std::move(info).error());
    }
    if (missing.empty()) return {};
    return Fail(Code::kBadInput,
                fmt::format("{} of the {} shards that the index names are missing: {}",
                            missing.size(), index_.shards.size(), ListSome(missing)),
                "fetch the missing shards into the index's folder");
  }

  Result<void> ReadShards(const ReadShardContents& read) {
    for (uint32_t object = 0; object < catalog_.objects.size(); ++object) {
      CKPT_TRY(ShardContents shard, read(catalog_.objects[object], object));
      catalog_.header_bytes += shard.header_bytes;
      if (object == 0) catalog_.metadata = std::move(shard.metadata);
      std::move(shard.checks.begin(), shard.checks.end(), std::back_inserter(catalog_.checks));
      std::move(shard.warnings.begin(), shard.warnings.end(),
                std::back_inserter(catalog_.warnings));
      Join(std::move(shard.tensors), object);
    }
    return {};
  }

  Result<Catalog> Finish() && {
    CKPT_TRY_VOID(CheckAllFound());
    CheckTotalSize();
    CKPT_TRY_VOID(SortTensors(catalog_));
    return std::move(catalog_);
  }

 private:
  void Join(std::vector<TensorEntry> tensors, uint32_t object) {
    std::vector<std::string> ignored;
    for (TensorEntry& tensor : tensors) {
      const auto entry =
          std::lower_bound(index_.entries.begin(), index_.entries.end(), tensor.name,
                           [](const safetensors::Index::Entry& each, const std::string& wanted) {
                             return each.tensor < wanted;
                           });
      if (entry == index_.entries.end() || entry->tensor != tensor.name || entry->shard != object) {
        ignored.push_back(std::move(tensor.name));
        continue;
      }
      is_found_[static_cast<size_t>(entry - index_.entries.begin())] = true;
      catalog_.tensors.push_back(std::move(tensor));
    }
    if (ignored.empty()) return;
    catalog_.warnings.push_back(
        fmt::format("{} holds {} tensors that the index does not give to it, they are ignored: {}",
                    PrintObject(catalog_, object), ignored.size(), ListSome(ignored)));
  }

  Result<void> CheckAllFound() const {
    Error error{
        Code::kBadInput, {}, {}, {}, "index and shards are not of one release: fetch both again"};
    size_t lost = 0;
    for (size_t i = 0; i < index_.entries.size(); ++i) {
      if (is_found_[i] || ++lost > kTensorsShown) continue;
      error.details.push_back(fmt::format("tensor \"{}\" is not in {}",
                                          Excerpt(index_.entries[i].tensor),
                                          PrintObject(catalog_, index_.entries[i].shard)));
    }
    if (lost == 0) return {};
    if (lost > kTensorsShown)
      error.details.push_back(fmt::format("and {} more", lost - kTensorsShown));
    error.what = fmt::format("{} tensors of the index are not in the shards that it names", lost);
    return Fail(std::move(error));
  }

  void CheckTotalSize() {
    if (!index_.total_size_bytes) return;
    uint64_t sum = 0;  // of ranges inside files whose sizes are known: cannot overflow
    // Tied tensors of a PyTorch file lie at one place, and count once.
    std::set<std::tuple<uint32_t, uint64_t, uint64_t>> counted;
    for (const TensorEntry& tensor : catalog_.tensors) {
      const Piece& piece = tensor.pieces.front();
      if (counted.emplace(piece.object, piece.offset_bytes, tensor.size_bytes).second)
        sum += tensor.size_bytes;
    }
    if (sum == *index_.total_size_bytes) return;
    catalog_.warnings.push_back(
        fmt::format("{}: metadata.total_size is {}, the tensors have {} bytes",
                    Printable(store_.root().PrintBelow(name_)), *index_.total_size_bytes, sum));
  }

  Store& store_;
  const std::string_view name_;
  const safetensors::Index index_;
  std::vector<bool> is_found_;  // by entry
  Catalog catalog_;
};

Result<Catalog> ReadIndex(Store& store, std::string_view name, std::string format,
                          const ReadShardContents& read, MemoryBudget& budget) {
  CKPT_TRY(const ObjectInfo info, store.Stat(name));
  const uint64_t text_bytes = std::min(info.size_bytes, safetensors::kMaxIndexBytes);
  CKPT_TRY(const Grant grant,
           GrantNow(budget, text_bytes * (1 + safetensors::kDecodeBytesPerIndexByte), "the index"));
  CKPT_TRY(const std::string text, store.ReadWhole(name, safetensors::kMaxIndexBytes));
  CKPT_TRY(safetensors::Index index, safetensors::DecodeIndex(text));

  IndexJoin join(store, name, std::move(format), std::move(index));
  CKPT_TRY_VOID(join.FindShards());
  CKPT_TRY_VOID(join.ReadShards(read));
  CKPT_TRY(Catalog catalog, std::move(join).Finish());
  catalog.header_bytes += text.size();
  return catalog;
}

}  // namespace

Result<Catalog> ReadShardedIndex(Store& store, std::string_view name, std::string format,
                                 const ReadShardContents& read, MemoryBudget& budget) {
  return ReadIndex(store, name, std::move(format), read, budget).map_error(InFile(store, name));
}

}  // namespace ckpt
