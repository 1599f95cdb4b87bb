#include "source/torch/replicas.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>

#include "base/float.h"
#include "base/text.h"
#include "base/units.h"
#include "source/box_reader.h"
#include "source/box_runs.h"
#include "source/reader_pool.h"
#include "source/reading.h"

namespace ckpt {
namespace {

// Eight shards of 70B parameters have 21 MB of norms; what is read at opening delays the plan.
constexpr uint64_t kMostComparedBytes = 64 * kMiB;
// Tolerance of the original converter. Origin: AI-Hypercomputer/jetstream-pytorch,
// convert_checkpoints.py at jetstream-v0.2.3 (torch.allclose with atol=1e-2 and the default rtol).
constexpr double kAbsolute = 1e-2;
constexpr double kRelative = 1e-5;

template <class T>
T Load(const std::byte* bytes) {
  T value;
  std::memcpy(&value, bytes, sizeof(value));
  return value;
}

std::optional<double> ValueAt(DType dtype, const std::byte* bytes) {
  switch (dtype) {
    case DType::kBF16:
      return ToF32(BF16{Load<uint16_t>(bytes)});
    case DType::kF16:
      return F16ToF32(Load<uint16_t>(bytes));
    case DType::kF32:
      return Load<float>(bytes);
    case DType::kF64:
      return Load<double>(bytes);
    default:
      return std::nullopt;
  }
}

struct Difference {
  double largest = 0;  // infinite where they cannot be compared
  bool is_over = false;
};

Difference Compare(DType dtype, std::span<const std::byte> a, std::span<const std::byte> b) {
  Difference difference;
  const size_t step = ElementBytes(dtype);
  for (size_t at = 0; at + step <= a.size(); at += step) {
    if (std::memcmp(a.data() + at, b.data() + at, step) == 0) continue;
    const std::optional<double> x = ValueAt(dtype, a.data() + at);
    const std::optional<double> y = ValueAt(dtype, b.data() + at);
    const double apart = x && y ? std::fabs(*x - *y) : INFINITY;
    difference.largest = std::max(difference.largest, std::isnan(apart) ? INFINITY : apart);
    difference.is_over =
        difference.is_over || !(apart <= kAbsolute + kRelative * std::fabs(y.value_or(0)));
  }
  return difference;
}

}  // namespace

Result<void> CompareReplicas(Store& store, Catalog& catalog, MemoryBudget& budget) {
  const auto is_replica = [](const TensorEntry& tensor) { return tensor.shape.rank() <= 1; };
  uint64_t bytes = 0;
  uint64_t longest = 0;
  for (const TensorEntry& tensor : catalog.shards.front()) {
    if (!is_replica(tensor)) continue;
    bytes += tensor.size_bytes * catalog.shards.size();
    longest = std::max(longest, tensor.size_bytes);
  }
  if (bytes > kMostComparedBytes || longest > kMiB) {
    catalog.warnings.push_back(
        fmt::format("the {} of vectors that every shard repeats are not compared: those of the "
                    "first shard count",
                    FormatBytes(bytes)));
    return {};
  }
  CKPT_TRY(const Grant grant, GrantNow(budget, 2 * longest, "comparing the shards"));
  {
    // The reader waits for its window; where nobody else gives memory back, that would be for ever.
    CKPT_TRY(const Grant window, GrantNow(budget, kLeastBoxWindowBytes, "comparing the shards"));
  }
  ReaderPool pool(store, catalog);
  BoxReader reader(pool.Opener(), budget);
  std::vector<std::byte> first(longest);
  std::vector<std::byte> other(longest);
  const auto read = [&](const TensorEntry& tensor, std::vector<std::byte>& into) {
    return reader.Read(tensor, WholeBox(tensor.shape), std::span(into).first(tensor.size_bytes));
  };
  for (size_t i = 0; i < catalog.shards.front().size(); ++i) {
    const TensorEntry& tensor = catalog.shards.front()[i];
    if (!is_replica(tensor) || tensor.size_bytes == 0) continue;
    CKPT_TRY_VOID(read(tensor, first));
    for (uint32_t shard = 1; shard < catalog.shards.size(); ++shard) {
      CKPT_TRY_VOID(read(catalog.shards[shard][i], other));
      const Difference found = Compare(tensor.dtype, std::span(first).first(tensor.size_bytes),
                                       std::span(other).first(tensor.size_bytes));
      if (found.largest == 0) continue;
      std::string what = fmt::format("the shards' copies differ by up to {:g}", found.largest);
      if (found.is_over)
        return Fail({Code::kBadInput,
                     std::move(what),
                     {},
                     {{"tensor", Excerpt(tensor.name)},
                      {"file", fmt::format("{} and {}", PrintObject(catalog, 0),
                                           PrintObject(catalog, shard))}},
                     "the files are not shards of one model: fetch them again"});
      catalog.warnings.push_back(fmt::format("{}: {} ({} and {}); the first one's counts",
                                             Excerpt(tensor.name), what, PrintObject(catalog, 0),
                                             PrintObject(catalog, shard)));
    }
  }
  catalog.header_bytes += reader.requested_bytes();
  return {};
}

}  // namespace ckpt
