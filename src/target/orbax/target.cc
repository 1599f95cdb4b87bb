#include "target/orbax/target.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <memory>
#include <numeric>

#include "base/check.h"
#include "base/message_digest.h"
#include "base/text.h"
#include "format/ocdbt/tree_builder.h"
#include "format/orbax/metadata.h"
#include "format/orbax/msgpack.h"
#include "format/zarr/chunk.h"
#include "format/zarr/meta.h"
#include "plan/chunked_plan.h"

namespace ckpt {
namespace {

constexpr std::string_view kManifestName = "manifest.ocdbt";
constexpr size_t kNameDigits = 32;
constexpr int kZstdLevel = 1;
constexpr size_t kSuffixDigits = 15;  // hexadecimal, of the run digest
// What else of an output is named by a hash: never a bundle's number.
constexpr std::string_view kTreeWord = "tree";
constexpr std::string_view kUuidWord = "uuid";

std::string InItems(const ChunkedOutput& output, std::string_view name) {
  return Below(output.items, name);
}

// 64 hexadecimal digits from what enters the output alone.
std::string HashOf(const ChunkedPlan& plan, size_t output, std::string_view word) {
  return Sha256Hex(fmt::format("{} {} {}", plan.layout_digest, plan.outputs[output].name, word));
}

// Below the database's folder.
std::string DataPath(const ChunkedPlan& plan, size_t output, std::string_view word) {
  return "d/" + HashOf(plan, output, word).substr(0, kNameDigits);
}

std::vector<OrbaxKey> Keys(std::span<const PathKey> path) {
  std::vector<OrbaxKey> keys;
  keys.reserve(path.size());
  for (const PathKey& key : path) keys.push_back({key.name, key.is_sequence});
  return keys;
}

// All nodes of the tree, ordered by their paths as the original orders them.
std::vector<OrbaxLeaf> LeavesOf(const ChunkedOutput& output) {
  std::vector<OrbaxLeaf> leaves;
  leaves.reserve(output.arrays.size() + output.placeholders.size());
  for (const ChunkedArray& array : output.arrays)
    leaves.push_back({Keys(array.path), array.is_scalar ? "scalar" : "jax.Array", false});
  for (const Placeholder& placeholder : output.placeholders)
    leaves.push_back({Keys(placeholder.path), placeholder.kind, true});
  std::sort(leaves.begin(), leaves.end(), [](const OrbaxLeaf& a, const OrbaxLeaf& b) {
    return std::lexicographical_compare(
        a.path.begin(), a.path.end(), b.path.begin(), b.path.end(),
        [](const OrbaxKey& x, const OrbaxKey& y) { return x.name < y.name; });
  });
  return leaves;
}

ZarrArrayMeta MetaOf(const ChunkedOutput& output, const ChunkedArray& array) {
  // Pathways reads version 2 and no database.
  ZarrArrayMeta meta = MakeZarrMeta(output.is_object_per_chunk ? ZarrForm::kV2 : ZarrForm::kV3,
                                    array.dtype, array.shape, Shape{array.chunk});
  meta.codecs = {};
  switch (output.codec) {
    case ChunkCodec::kPlain:
      break;
    case ChunkCodec::kCrc32c:
      meta.codecs.has_crc32c = true;
      break;
    case ChunkCodec::kZstd:
      meta.codecs.compression = Compression::kZstd;
      break;
  }
  return meta;
}

std::string_view MetaName(const ChunkedOutput& output) {
  return output.is_object_per_chunk ? kZarrV2Name : kZarrV3Name;
}

std::string ParamName(const ChunkedArray& array) { return OrbaxParamName(Keys(array.path)); }

CommitObject Text(std::string name, std::string text) {
  return {std::move(name),
          [text = std::move(text)](const auto& append) {
            return append(std::as_bytes(std::span(text)));
          },
          false};
}

// The keys of an array's chunks below its name, ordered, with their numbers.
std::vector<std::pair<std::string, uint64_t>> SortedKeys(const ChunkedArray& array,
                                                         const ZarrArrayMeta& meta) {
  const uint64_t count = ChunkCount(array);
  std::vector<std::pair<std::string, uint64_t>> keys;
  keys.reserve(count);
  for (uint64_t chunk = 0; chunk < count; ++chunk)
    keys.emplace_back(ZarrChunkKey(meta, chunk), chunk);
  std::sort(keys.begin(), keys.end());
  return keys;
}

// The tree of all keys, as a stream: arrays in the order of their keys, then each array's chunks in
// the order of theirs.
class TreeWriter {
 public:
  TreeWriter(const ChunkedPlan& plan, size_t output, std::span<const ChunkPlace> places,
             std::span<const uint64_t> first)
      : plan_(plan), index_(output), places_(places), first_(first) {}

  Result<void> WriteNodes(const OcdbtTreeBuilder::Append& append) {
    const ChunkedOutput& output = plan_.outputs[index_];
    std::vector<std::string> files;
    for (uint32_t bundle = 0; bundle <= plan_.bundles.size(); ++bundle)
      files.push_back(DataPath(plan_, index_, fmt::format("{}", bundle)));
    OcdbtConfig config;
    const std::string uuid = HashOf(plan_, index_, kUuidWord);
    for (size_t i = 0; i < config.uuid.size(); ++i)
      config.uuid[i] = static_cast<uint8_t>(std::stoul(uuid.substr(2 * i, 2), nullptr, 16));
    OcdbtTreeBuilder builder(std::move(files), DataPath(plan_, index_, kTreeWord), config, append);
    // A name is a prefix of all keys of its array, and '/' ends it in each of them.
    std::vector<std::pair<std::string, size_t>> arrays;
    for (size_t a = 0; a < output.arrays.size(); ++a)
      arrays.emplace_back(ParamName(output.arrays[a]) + "/", a);
    std::sort(arrays.begin(), arrays.end());
    for (const auto& [prefix, array] : arrays) CKPT_TRY_VOID(AddArray(builder, prefix, array));
    CKPT_TRY(manifest_, builder.Finish());
    return {};
  }

  const std::string& manifest() const { return manifest_; }

 private:
  Result<void> AddArray(OcdbtTreeBuilder& builder, const std::string& prefix, size_t a) {
    const ChunkedOutput& output = plan_.outputs[index_];
    const ZarrArrayMeta meta = MetaOf(output, output.arrays[a]);
    // "c/..." comes before "zarr.json".
    for (const auto& [key, chunk] : SortedKeys(output.arrays[a], meta)) {
      const ChunkPlace& at = places_[first_[a] + chunk];
      CKPT_TRY_VOID(builder.Add({prefix + key, OcdbtRange{at.bundle, at.offset, at.length}}));
    }
    return builder.Add({prefix + std::string(kZarrV3Name), EncodeZarrMeta(meta)});
  }

  const ChunkedPlan& plan_;
  const size_t index_;
  std::span<const ChunkPlace> places_;
  std::span<const uint64_t> first_;
  std::string manifest_;
};

}  // namespace

std::string OrbaxTarget::DataFileName(const ChunkedPlan& plan, size_t output,
                                      uint32_t bundle) const {
  return InItems(plan.outputs[output], DataPath(plan, output, fmt::format("{}", bundle)));
}

std::string OrbaxTarget::ChunkObjectName(const ChunkedOutput& output, size_t array,
                                         uint64_t chunk) const {
  const ChunkedArray& spec = output.arrays[array];
  return InItems(output,
                 fmt::format("{}/{}", ParamName(spec), ZarrChunkKey(MetaOf(output, spec), chunk)));
}

std::vector<uint64_t> OrbaxTarget::KeyOrder(const ChunkedOutput& output, size_t array) const {
  const ChunkedArray& spec = output.arrays[array];
  std::vector<uint64_t> order;
  for (const auto& [key, chunk] : SortedKeys(spec, MetaOf(output, spec))) order.push_back(chunk);
  return order;
}

uint64_t OrbaxTarget::PackedBound(uint64_t chunk_bytes) const {
  return CompressedChunkBound(chunk_bytes);
}
Result<uint64_t> OrbaxTarget::Pack(std::span<const std::byte> chunk,
                                   std::span<std::byte> out) const {
  return CompressChunk(chunk, kZstdLevel, out);
}

std::vector<CommitObject> OrbaxTarget::CommitObjects(const ChunkedPlan& plan, size_t output,
                                                     std::span<const ChunkPlace> places,
                                                     std::span<const uint64_t> first) const {
  const ChunkedOutput& spec = plan.outputs[output];
  std::vector<CommitObject> objects;
  const auto tree = std::make_shared<TreeWriter>(plan, output, places, first);
  if (spec.is_object_per_chunk) {
    for (const ChunkedArray& array : spec.arrays)
      objects.push_back(Text(InItems(spec, fmt::format("{}/{}", ParamName(array), MetaName(spec))),
                             EncodeZarrMeta(MetaOf(spec, array))));
  } else {
    objects.push_back({InItems(spec, DataPath(plan, output, kTreeWord)),
                       [tree](const auto& append) { return tree->WriteNodes(append); }, false});
  }
  const std::vector<OrbaxLeaf> leaves = LeavesOf(spec);
  OrbaxMetadata metadata;
  metadata.leaves = leaves;
  metadata.use_zarr3 = !spec.is_object_per_chunk;
  metadata.use_ocdbt = !spec.is_object_per_chunk;
  metadata.stores_fill_chunks = true;
  objects.push_back(Text(InItems(spec, kOrbaxMetadataName), EncodeOrbaxMetadata(metadata)));
  objects.push_back(Text(InItems(spec, kOrbaxAggregateName), EncodeOrbaxAggregate(leaves)));
  objects.push_back(Text(std::string(kOrbaxStepMetadataName), EncodeOrbaxStepMetadata(spec.items)));
  if (!spec.is_object_per_chunk)
    objects.push_back(
        {InItems(spec, kManifestName),
         [tree](const auto& append) { return append(std::as_bytes(std::span(tree->manifest()))); },
         true});
  const auto mark = [&](std::string name) {
    objects.push_back(Text(std::move(name), std::string(kOrbaxMarkerText)));
    objects.back().is_final = true;
  };
  if (!spec.items.empty()) mark(InItems(spec, kOrbaxMarkerName));
  mark(std::string(kOrbaxMarkerName));
  return objects;
}

std::string OrbaxTarget::TemporarySuffix(const ChunkedPlan& plan) const {
  return fmt::format("orbax-checkpoint-tmp-{}",
                     std::stoull(plan.run_digest.substr(0, kSuffixDigits), nullptr, 16));
}

std::string_view OrbaxTarget::DoneName() const { return kOrbaxMarkerName; }

bool OrbaxTarget::IsMarker(std::string_view object_name) const {
  const size_t slash = object_name.rfind('/');
  const std::string_view leaf =
      slash == std::string_view::npos ? object_name : object_name.substr(slash + 1);
  return leaf == kOrbaxMarkerName || leaf == kManifestName || leaf == kOrbaxMetadataName ||
         leaf == kOrbaxStepMetadataName;
}

Result<void> OrbaxTarget::CheckNames(const ChunkedOutput& output) {
  return CheckOrbaxTree(LeavesOf(output));
}

}  // namespace ckpt
