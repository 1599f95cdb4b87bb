#include "source/orbax/database.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "base/text.h"
#include "base/units.h"
#include "format/ocdbt/manifest.h"
#include "format/ocdbt/node.h"
#include "source/reading.h"

namespace ckpt {
namespace {

constexpr uint64_t kMostNodes = 1ULL << 20U;
constexpr uint64_t kMostTreeBytes = 16ULL << 30U;
constexpr uint8_t kMostHeight = 16;
constexpr std::string_view kNumberedPrefix = "manifest.";
constexpr size_t kNumberedDigits = 16;
constexpr uint64_t kLeastDecodedBytes = kMiB;

Result<OcdbtManifest> ReadManifest(OrbaxItem& item, MemoryBudget& budget, std::string_view name) {
  CKPT_TRY(const uint32_t object, item.Use(name));
  const ObjectInfo& info = item.object(object);
  const auto in_file = InFile(item.store(), info.name);
  if (info.size_bytes > kOcdbtMaxManifestBytes)
    return Fail(
        in_file({Code::kBadInput,
                 fmt::format("a manifest of {}, at most {} are read", FormatBytes(info.size_bytes),
                             FormatMemory(kOcdbtMaxManifestBytes)),
                 {},
                 {},
                 "the checkpoint is damaged: fetch this file again"}));
  CKPT_TRY(const Grant grant, GrantNow(budget, info.size_bytes, "the manifest"));
  std::string bytes(info.size_bytes, '\0');
  CKPT_TRY_VOID(item.Read(object, 0, std::as_writable_bytes(std::span(bytes))));
  return DecodeOcdbtManifest(bytes).map_error(in_file);
}

// The name of the state with the highest number, or "".
std::string HighestNumbered(const OrbaxItem& item) {
  std::string highest;
  for (const ObjectInfo& object : item.all()) {
    const std::string_view name = std::string_view(object.name).substr(item.folder().size());
    if (!name.starts_with(kNumberedPrefix)) continue;
    const std::string_view digits = name.substr(kNumberedPrefix.size());
    const bool is_number = digits.size() == kNumberedDigits &&
                           digits.find_first_not_of("0123456789abcdef") == std::string_view::npos;
    if (is_number) highest = std::max(highest, std::string(name));
  }
  return highest;
}

Result<OcdbtVersion> LatestVersion(OrbaxItem& item, MemoryBudget& budget) {
  CKPT_TRY(const OcdbtManifest manifest, ReadManifest(item, budget, kOcdbtManifestName));
  if (manifest.latest) return *manifest.latest;
  const auto in_file = InFile(item.store(), item.folder() + std::string(kOcdbtManifestName));
  const std::string name = HighestNumbered(item);
  if (name.empty())
    return Fail(in_file({Code::kBadInput,
                         "the manifest says that its state is in numbered files beside it, and "
                         "there are none",
                         {},
                         {},
                         "the copy is incomplete: fetch the whole checkpoint again"}));
  CKPT_TRY(const OcdbtManifest state, ReadManifest(item, budget, name));
  const auto in_state = InFile(item.store(), item.folder() + name);
  if (!state.latest || state.config.uuid != manifest.config.uuid)
    return Fail(in_state({Code::kBadInput,
                          "the numbered manifest does not belong to manifest.ocdbt",
                          {},
                          {},
                          "the copy mixes two checkpoints: fetch it again"}));
  return *state.latest;
}

class Walk {
 public:
  Walk(OrbaxItem& item, MemoryBudget& budget, KeyTable& keys)
      : item_(item), budget_(budget), keys_(keys) {}

  // Each child is exactly one lower than its parent, so a tree has no cycle and ends at height 0.
  // Recursion, as deep as kMostHeight: an interior node's entries are visited while its bytes are
  // in memory, never collected.
  Result<void> Visit(const OcdbtFile& file, const OcdbtRange& range, uint8_t height,
                     const std::string& prefix, const std::string& bound) {
    CKPT_TRY(const uint32_t object, item_.Use(file.path()));
    auto visited = VisitIn(object, file.base, range, height, prefix, bound);
    if (visited) return visited;
    const ObjectInfo& info = item_.object(object);
    return std::move(visited).map_error([&](Error error) {
      // The innermost node names its place; those above it only lead there.
      if (NamesFile(error)) return error;
      error.where.push_back(
          {"byte", fmt::format("{} of the file, where the node begins", range.offset)});
      return InFile(item_.store(), info.name)(std::move(error));
    });
  }

 private:
  Result<void> VisitIn(uint32_t object, const std::string& base, const OcdbtRange& range,
                       uint8_t height, const std::string& prefix, const std::string& bound) {
    if (++nodes_ > kMostNodes) return Refuse(fmt::format("more than {} nodes", kMostNodes));
    if (range.length > kOcdbtMaxNodeBytes)
      return Refuse(fmt::format("a node of {}, at most {} are read", FormatBytes(range.length),
                                FormatMemory(kOcdbtMaxNodeBytes)));
    tree_bytes_ += range.length;
    if (tree_bytes_ > kMostTreeBytes)
      return Refuse(
          fmt::format("the tree's nodes have more than {}", FormatMemory(kMostTreeBytes)));
    CKPT_TRY(const Grant grant, GrantNow(budget_, range.length, "a node of the tree"));
    std::string bytes(range.length, '\0');
    CKPT_TRY_VOID(item_.Read(object, range.offset, std::as_writable_bytes(std::span(bytes))));
    CKPT_TRY(const Grant decoded, GrantDecoded());
    const uint64_t most = decoded.bytes() / 2;  // a text that grows holds its old form beside it
    bool is_first = true;
    auto visited = DecodeOcdbtNode(
        bytes, height, base, most,
        [&](const OcdbtNodeHeader& header, const OcdbtNodeEntry& entry) -> Result<void> {
          if (is_first && prefix + std::string(entry.key) < bound)
            return Refuse("the node's first key lies before what its parent promises");
          is_first = false;
          return Take(header, entry, prefix);
        });
    const bool is_too_large = !visited && is_first && visited.error().code == Code::kResources;
    if (!is_too_large) return visited;
    return Fail(Code::kResources,
                fmt::format("a node of the tree needs more than {} of memory", FormatMemory(most)),
                "give a larger --memory");
  }

  Result<void> Take(const OcdbtNodeHeader& header, const OcdbtNodeEntry& entry,
                    const std::string& prefix) {
    if (const auto* text = std::get_if<OcdbtInline>(&entry.value))
      return keys_.AddInline(prefix, entry.key, text->bytes);
    if (const auto* range = std::get_if<OcdbtRange>(&entry.value)) {
      CKPT_TRY(const uint32_t object, item_.Use(header.files[range->file].path()));
      return keys_.AddStored(prefix, entry.key, {object, range->offset, range->length});
    }
    const auto& child = std::get<OcdbtChild>(entry.value);
    const std::string key = prefix + std::string(entry.key);
    if (key.size() > kOcdbtMaxKeyBytes) return Refuse(fmt::format("a key of {} bytes", key.size()));
    return Visit(header.files[child.range.file], child.range,
                 static_cast<uint8_t>(header.height - 1),
                 key.substr(0, prefix.size() + child.prefix_bytes), key);
  }

  // What a compressed node may become: the most that a node may have, or what there is.
  Result<Grant> GrantDecoded() {
    for (uint64_t bytes = 2 * kOcdbtMaxDecodedNodeBytes; bytes > 2 * kLeastDecodedBytes;
         bytes /= 2) {
      if (bytes > (budget_.limit_bytes() - budget_.used_bytes()) / 2) continue;
      if (auto grant = budget_.TryAcquire(bytes)) return *std::move(grant);
    }
    return GrantNow(budget_, 2 * kLeastDecodedBytes, "a decompressed node of the tree");
  }

  static Result<void> Refuse(std::string what) {
    return Fail(Code::kBadInput, std::move(what), "the checkpoint is damaged: fetch it again");
  }

  OrbaxItem& item_;
  MemoryBudget& budget_;
  KeyTable& keys_;
  uint64_t nodes_ = 0;
  uint64_t tree_bytes_ = 0;
};

}  // namespace

Result<void> ReadDatabase(OrbaxItem& item, MemoryBudget& budget, KeyTable& keys,
                          std::vector<std::string>& warnings) {
  CKPT_TRY(const OcdbtVersion version, LatestVersion(item, budget));
  if (version.is_empty()) return {};
  if (version.root_height > kMostHeight)
    return Fail(InFile(item.store(), item.folder() + std::string(kOcdbtManifestName))(
        {Code::kBadInput,
         fmt::format("a tree of height {}, at most {} are read", version.root_height, kMostHeight),
         {},
         {},
         "the checkpoint is damaged: fetch it again"}));
  Walk walk(item, budget, keys);
  CKPT_TRY_VOID(
      walk.Visit(version.file, {0, version.offset, version.length}, version.root_height, "", ""));
  if (keys.size() != version.statistics.keys)
    warnings.push_back(fmt::format("the manifest counts {} keys, the tree has {}",
                                   version.statistics.keys, keys.size()));
  return {};
}

}  // namespace ckpt
