#include "run/chunk_places.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "base/check.h"
#include "plan/chunk_box.h"

namespace ckpt {

Result<ChunkPlaces> CollectPlaces(const ChunkedPlan& plan, size_t output,
                                  const ChunkedRecords& records) {
  const ChunkedOutput& spec = plan.outputs[output];
  ChunkPlaces found;
  uint64_t count = 0;
  for (const ChunkedArray& array : spec.arrays) {
    found.first.push_back(count);
    count += ChunkCount(array);
  }
  found.first.push_back(count);
  found.places.resize(count);
  const auto fail = [&](uint64_t place, std::string_view what) {
    const auto array = static_cast<size_t>(
        std::upper_bound(found.first.begin(), found.first.end(), place) - found.first.begin() - 1);
    return Fail(Code::kInternal,
                fmt::format("chunk {} of \"{}\" {}", place - found.first[array],
                            spec.arrays[array].name, what),
                "please report this");
  };
  const auto take = [&](const BundleRecord& record) -> Result<void> {
    for (const ChunkPart& part : record.chunks) {
      if (part.output != output) continue;
      CKPT_CHECK(part.array < spec.arrays.size() &&
                 part.chunk < found.first[part.array + 1] - found.first[part.array]);
      const uint64_t place = found.first[part.array] + part.chunk;
      if (found.places[place].length != 0) return fail(place, "was recorded twice");
      found.places[place] = {record.number, part.offset, part.length, part.crc32c};
    }
    return {};
  };
  CKPT_TRY_VOID(records.ForEach(plan.bundles.size() + 1, take));
  for (uint64_t place = 0; place < count; ++place) {
    if (found.places[place].length == 0) return fail(place, "was never recorded");
  }
  return found;
}

namespace {

// What lies at a byte of the last data file: scales or constants.
std::string DescribeFront(const ChunkedPlan& plan, size_t output, uint64_t offset) {
  std::string name = plan.outputs[output].name;
  for (const FrontChunk& chunk : plan.front[output]) {
    if (chunk.offset <= offset) name = plan.outputs[output].arrays[chunk.array].name;
  }
  return name;
}

// The same for the bytes that one band takes; `offset` counts from their beginning.
std::string DescribeBand(const ChunkedPlan& plan, size_t output, const RoleWork& work,
                         uint64_t band, uint64_t offset) {
  const ChunkedOutput& spec = plan.outputs[output];
  for (const Product& product : work.products) {
    const uint64_t bytes = product.chunks * product.stride_bytes;
    for (const SliceRef& ref : product.slices) {
      if (ref.output != output) continue;
      if (offset < bytes)
        return fmt::format("{}, chunk {}", spec.arrays[spec.slices[ref.slice].array].name,
                           BandChunks(plan, work, ref, band)[offset / product.stride_bytes].number);
      offset -= bytes;
    }
  }
  return spec.name;
}

}  // namespace

std::string DescribeByte(const ChunkedPlan& plan, size_t output, uint32_t bundle, uint64_t offset) {
  if (bundle == 0) return DescribeFront(plan, output, offset);
  for (const BandSpan& span : plan.bundles[bundle - 1].spans) {
    const RoleWork& work = plan.works[span.work];
    const uint64_t bytes = BandFileBytes(work, output);
    const uint64_t bands = span.band_end - span.band_begin;
    if (offset < bands * bytes)
      return DescribeBand(plan, output, work, span.band_begin + offset / bytes, offset % bytes);
    offset -= bands * bytes;
  }
  return plan.outputs[output].name;
}

std::vector<Crc32c> ArrayCrcs(const ChunkedPlan& plan, const ChunkedTarget& target, size_t output,
                              const ChunkPlaces& places) {
  const ChunkedOutput& spec = plan.outputs[output];
  std::vector<Crc32c> crcs;
  for (size_t a = 0; a < spec.arrays.size(); ++a) {
    Crc32c crc;
    for (const uint64_t chunk : target.KeyOrder(spec, a)) {
      const ChunkPlace& place = places.places[places.first[a] + chunk];
      crc.Append(Crc32c(place.crc32c, place.length));
    }
    crcs.push_back(crc);
  }
  return crcs;
}

}  // namespace ckpt
