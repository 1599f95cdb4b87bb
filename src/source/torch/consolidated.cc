#include "source/torch/consolidated.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <iterator>
#include <set>
#include <utility>

#include "base/text.h"
#include "base/units.h"
#include "source/reading.h"
#include "source/torch/checklist.h"
#include "source/torch/file.h"
#include "source/torch/replicas.h"

namespace ckpt {
namespace {

constexpr std::string_view kStem = "consolidated.";
constexpr std::string_view kEnding = ".pth";

std::string ShardName(uint32_t number) { return fmt::format("{}{:02}{}", kStem, number, kEnding); }

// The shards that checklist.chk names.
Result<std::set<uint32_t>> Listed(Store& store, std::span<const ObjectInfo> here) {
  std::set<uint32_t> numbers;
  CKPT_TRY(const auto sums, ReadChecklist(store, here));
  for (const auto& [name, sum] : sums) {
    if (const auto number = ConsolidatedNumber(name)) numbers.insert(*number);
  }
  return numbers;
}

tl::unexpected<Error> Differ(const Catalog& catalog, uint32_t shard, const std::string& name,
                             std::string what) {
  return Fail(
      {Code::kBadInput,
       std::move(what),
       {},
       {{"tensor", Excerpt(name)},
        {"file", fmt::format("{} and {}", PrintObject(catalog, 0), PrintObject(catalog, shard))}},
       "the files are not shards of one model: fetch them again"});
}

// Every shard has the names of the first one, with the same dtype and rank.
Result<void> CheckAlike(const Catalog& catalog) {
  const std::vector<TensorEntry>& first = catalog.shards.front();
  for (uint32_t number = 1; number < catalog.shards.size(); ++number) {
    const std::vector<TensorEntry>& shard = catalog.shards[number];
    const auto [a, b] =
        std::mismatch(first.begin(), first.end(), shard.begin(), shard.end(),
                      [](const TensorEntry& x, const TensorEntry& y) { return x.name == y.name; });
    if (a != first.end() || b != shard.end()) {
      const bool is_in_first = b == shard.end() || (a != first.end() && a->name < b->name);
      return Differ(catalog, number, is_in_first ? a->name : b->name,
                    fmt::format("the shards hold different tensors: this one is only in {}",
                                PrintObject(catalog, is_in_first ? 0 : number)));
    }
    for (size_t i = 0; i < first.size(); ++i) {
      if (first[i].dtype == shard[i].dtype && first[i].shape == shard[i].shape &&
          first[i].form == shard[i].form)
        continue;
      return Differ(
          catalog, number, first[i].name,
          fmt::format("the shards disagree: {} {} and {} {}", Name(first[i].dtype),
                      ToString(first[i].shape), Name(shard[i].dtype), ToString(shard[i].shape)));
    }
  }
  return {};
}

// Of the FP8 edition of 405B some matrices mean nothing without the scales beside them.
Result<void> RefuseFloat8(const Catalog& catalog, const TorchFile& file, uint32_t object) {
  const auto found =
      std::find_if(file.tensors.begin(), file.tensors.end(), [](const TensorEntry& tensor) {
        return tensor.dtype == DType::kF8E4M3 || tensor.dtype == DType::kF8E5M2;
      });
  if (found == file.tensors.end()) return {};
  return Fail({Code::kBadInput,
               fmt::format("the shard holds {} weights, whose row scales lie in fp8_scales_*.pt: "
                           "this edition is not read",
                           Name(found->dtype)),
               {},
               {{"tensor", Excerpt(found->name)}, {"file", PrintObject(catalog, object)}},
               "name the folder of the BF16 edition (MP8 or MP16)"});
}

}  // namespace

std::optional<uint32_t> ConsolidatedNumber(std::string_view name) {
  std::string_view base = BaseName(name);
  if (!base.starts_with(kStem) || !base.ends_with(kEnding)) return std::nullopt;
  base.remove_prefix(kStem.size());
  base.remove_suffix(std::min(base.size(), kEnding.size()));
  uint32_t number = 0;
  const auto [end, error] = std::from_chars(base.data(), base.data() + base.size(), number);
  if (base.size() != 2 || error != std::errc() || end != base.data() + base.size())
    return std::nullopt;
  return number;
}

Result<std::vector<ObjectInfo>> FindConsolidated(Store& store, std::span<const ObjectInfo> here) {
  std::vector<std::pair<uint32_t, ObjectInfo>> found;
  for (const ObjectInfo& object : here) {
    if (const auto number = ConsolidatedNumber(object.name)) found.emplace_back(*number, object);
  }
  if (found.empty()) return std::vector<ObjectInfo>();
  std::sort(found.begin(), found.end(),
            [](const auto& a, const auto& b) { return a.first < b.first; });
  CKPT_TRY(std::set<uint32_t> missing, Listed(store, here));
  for (uint32_t number = 0; number < found.back().first; ++number) missing.insert(number);
  std::vector<ObjectInfo> shards;
  for (auto& [number, object] : found) {
    missing.erase(number);
    shards.push_back(std::move(object));
  }
  if (missing.empty()) return shards;
  std::vector<std::string> names;
  names.reserve(missing.size());
  for (const uint32_t number : missing) names.push_back(ShardName(number));
  return Fail(
      Code::kBadInput,
      fmt::format("{} of the model's shards are missing: {}", names.size(), ListSome(names)),
      "fetch the missing files into the same folder");
}

Result<Catalog> ReadConsolidated(Store& store, std::vector<ObjectInfo> files,
                                 MemoryBudget& budget) {
  Catalog catalog;
  catalog.format = "meta-consolidated";
  catalog.root = store.root();
  catalog.objects = std::move(files);
  for (uint32_t object = 0; object < catalog.objects.size(); ++object) {
    CKPT_TRY(TorchFile file, ReadTorchFile(store, catalog.objects[object], object, budget));
    CKPT_TRY_VOID(RefuseFloat8(catalog, file, object));
    catalog.header_bytes += file.header_bytes;
    std::move(file.checks.begin(), file.checks.end(), std::back_inserter(catalog.checks));
    for (const std::string& warning : file.warnings)
      catalog.warnings.push_back(fmt::format("{}: {}", PrintObject(catalog, object), warning));
    catalog.tensors = std::move(file.tensors);
    CKPT_TRY_VOID(SortTensors(catalog));
    if (catalog.objects.size() > 1) catalog.shards.push_back(std::exchange(catalog.tensors, {}));
  }
  if (catalog.shards.empty()) return catalog;
  CKPT_TRY_VOID(CheckAlike(catalog));
  CKPT_TRY_VOID(CompareReplicas(store, catalog, budget));
  return catalog;
}

}  // namespace ckpt
