#include "format/ocdbt/manifest.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <span>
#include <vector>

#include "base/endian.h"
#include "format/ocdbt/byte_reader.h"
#include "format/ocdbt/envelope.h"

namespace ckpt {
namespace {

using ocdbt::AppendVarint;
using ocdbt::ByteReader;

constexpr uint32_t kShortBits = 32;
constexpr uint8_t kSingleKind = 0;
constexpr uint8_t kNumberedKind = 1;
constexpr uint64_t kZstdMethod = 1;
constexpr uint8_t kMaxArityLog2 = 16;
constexpr uint64_t kLeastVersionBytes = 16;      // of all columns of one version
constexpr uint64_t kLeastVersionNodeBytes = 14;  // of all columns of one version tree node
constexpr int kSkippedColumns = 3;  // of a version tree node: offset, length, number of generations
constexpr uint32_t kGenerationBits = 63;  // what the version tree divides among its levels

Result<OcdbtConfig> ReadConfig(ByteReader& in, bool& is_numbered) {
  OcdbtConfig config;
  CKPT_TRY(const std::string_view uuid, in.Take(config.uuid.size()));
  std::memcpy(config.uuid.data(), uuid.data(), uuid.size());
  CKPT_TRY(const uint8_t kind, in.U8());
  if (kind > kNumberedKind) return in.Damaged(fmt::format("manifest kind {} is unknown", kind));
  is_numbered = kind == kNumberedKind;
  CKPT_TRY(const uint64_t inline_bytes, in.Varint(kShortBits));
  CKPT_TRY(const uint64_t node_bytes, in.Varint(kShortBits));
  config.max_inline_value_bytes = static_cast<uint32_t>(inline_bytes);
  config.max_decoded_node_bytes = static_cast<uint32_t>(node_bytes);
  CKPT_TRY(config.version_tree_arity_log2, in.U8());
  if (config.version_tree_arity_log2 == 0 || config.version_tree_arity_log2 > kMaxArityLog2)
    return in.Damaged(fmt::format("a version tree arity of 2^{}", config.version_tree_arity_log2));
  CKPT_TRY(const uint64_t method, in.Varint(kShortBits));
  if (method > kZstdMethod)
    return in.Damaged(fmt::format("compression method {} is unknown", method));
  if (method == kZstdMethod) {
    CKPT_TRY(const uint32_t level, in.U32());
    config.zstd_level = std::bit_cast<int32_t>(level);
  }
  return config;
}

// A column of varints that were checked before.
class Column {
 public:
  Column() = default;
  static Result<Column> Of(ByteReader& in, uint64_t count) {
    Column column;
    column.reader_ = in;
    CKPT_TRY_VOID(in.SkipVarints(count));
    return column;
  }
  uint64_t Next() { return reader_.Varint().value(); }

 private:
  ByteReader reader_;
};

// The inline versions, of which the last is the state; `in` stands at their count.
class Versions {
 public:
  Versions(ByteReader& in, const std::vector<OcdbtFile>& files, const OcdbtConfig& config)
      : in_(in), files_(files), arity_log2_(config.version_tree_arity_log2) {}

  Result<OcdbtVersion> ReadLatest() {
    CKPT_TRY(const uint64_t count, in_.Varint());
    if (count == 0 || count > 1ULL << arity_log2_)
      return in_.Damaged(fmt::format("{} versions, of 1 to {}", count, 1ULL << arity_log2_));
    CKPT_TRY_VOID(in_.CheckCount("versions", count, kLeastVersionBytes));
    CKPT_TRY(Column generation, Column::Of(in_, count));
    CKPT_TRY(const std::string_view heights, in_.Take(count));
    CKPT_TRY(Column file, Column::Of(in_, count));
    CKPT_TRY(Column offset, Column::Of(in_, count));
    CKPT_TRY(Column length, Column::Of(in_, count));
    CKPT_TRY(Column keys, Column::Of(in_, count));
    CKPT_TRY(Column tree_bytes, Column::Of(in_, count));
    CKPT_TRY(Column indirect_bytes, Column::Of(in_, count));
    OcdbtVersion version;
    for (uint64_t i = 0; i < count; ++i) {
      const uint64_t before = i == 0 ? 0 : version.generation;
      version.generation = generation.Next();
      if (i == 0) first_generation_ = version.generation;
      if (version.generation <= before)
        return in_.Damaged("generation numbers do not increase from 1 on");
      version.root_height = static_cast<uint8_t>(heights[i]);
      const uint64_t file_id = file.Next();
      if (file_id >= files_.size())
        return in_.Damaged(fmt::format("data file {} of {}", file_id, files_.size()));
      version.file = files_[file_id];
      version.offset = offset.Next();
      version.length = length.Next();
      version.statistics = {keys.Next(), tree_bytes.Next(), indirect_bytes.Next()};
      CKPT_TRY(version.commit_time_ns, in_.U64());
      CKPT_TRY_VOID(CheckRoot(version));
    }
    const uint64_t group = (version.generation - 1) & ~((1ULL << arity_log2_) - 1);
    if (first_generation_ <= group)
      return in_.Damaged(fmt::format("generation {} stands beside {}, which is of a later group",
                                     first_generation_, version.generation));
    return version;
  }

  // Nodes of older versions: nothing is kept of them.
  Result<void> SkipVersionNodes() {
    CKPT_TRY(const uint64_t count, in_.Varint());
    if (count > kGenerationBits / arity_log2_ - 1)
      return in_.Damaged(fmt::format("{} version tree nodes", count));
    CKPT_TRY_VOID(in_.CheckCount("version tree nodes", count, kLeastVersionNodeBytes));
    CKPT_TRY(Column generation, Column::Of(in_, count));
    CKPT_TRY(Column file, Column::Of(in_, count));
    for (int i = 0; i < kSkippedColumns; ++i) CKPT_TRY_VOID(in_.SkipVarints(count));
    CKPT_TRY_VOID(in_.Take(count * sizeof(uint64_t)));
    CKPT_TRY(const std::string_view heights, in_.Take(count));
    uint64_t before = 0;
    for (uint64_t i = 0; i < count; ++i) {
      const uint64_t number = generation.Next();
      if (number <= before || number >= first_generation_)
        return in_.Damaged("generation numbers of version tree nodes do not increase");
      before = number;
      if (file.Next() >= files_.size()) return in_.Damaged("a data file that is not in the table");
      if (i > 0 && static_cast<uint8_t>(heights[i]) >= static_cast<uint8_t>(heights[i - 1]))
        return in_.Damaged("heights of version tree nodes do not decrease");
    }
    return {};
  }

 private:
  Result<void> CheckRoot(const OcdbtVersion& version) const {
    if (version.is_empty()) {
      if (version.root_height == 0 && version.statistics == OcdbtStatistics{}) return {};
      return in_.Damaged("an empty tree with a height or with keys");
    }
    if (version.offset > INT64_MAX || version.length > INT64_MAX - version.offset)
      return in_.Damaged(
          fmt::format("a root node at byte {} of {} bytes", version.offset, version.length));
    return {};
  }

  ByteReader& in_;
  const std::vector<OcdbtFile>& files_;
  const uint8_t arity_log2_;
  uint64_t first_generation_ = 0;
};

}  // namespace

Result<OcdbtManifest> DecodeOcdbtManifest(std::string_view bytes) {
  CKPT_TRY(const ocdbt::Body body,
           ocdbt::Unseal(ocdbt::kManifestMagic, bytes, kOcdbtMaxManifestBytes));
  ByteReader in = body.reader();
  OcdbtManifest manifest;
  bool is_numbered = false;
  CKPT_TRY(manifest.config, ReadConfig(in, is_numbered));
  if (!is_numbered) {
    CKPT_TRY(const std::vector<OcdbtFile> files, ocdbt::ReadFileTable(in, ""));
    Versions versions(in, files, manifest.config);
    CKPT_TRY(manifest.latest, versions.ReadLatest());
    CKPT_TRY_VOID(versions.SkipVersionNodes());
  }
  CKPT_TRY_VOID(in.CheckEnd());
  return manifest;
}

std::string EncodeOcdbtManifest(const OcdbtConfig& config, const OcdbtVersion& version) {
  std::string body;
  for (const uint8_t byte : config.uuid) body += static_cast<char>(byte);
  body += static_cast<char>(kSingleKind);
  AppendVarint(body, config.max_inline_value_bytes);
  AppendVarint(body, config.max_decoded_node_bytes);
  body += static_cast<char>(config.version_tree_arity_log2);
  AppendVarint(body, config.zstd_level ? kZstdMethod : 0);
  if (config.zstd_level)
    AppendLittleEndian(body, std::bit_cast<uint32_t>(*config.zstd_level), sizeof(uint32_t));
  ocdbt::AppendFileTable(body, std::span(&version.file, 1));
  AppendVarint(body, 1);  // versions
  AppendVarint(body, version.generation);
  body += static_cast<char>(version.root_height);
  AppendVarint(body, 0);  // the table's only file
  AppendVarint(body, version.offset);
  AppendVarint(body, version.length);
  AppendVarint(body, version.statistics.keys);
  AppendVarint(body, version.statistics.tree_bytes);
  AppendVarint(body, version.statistics.indirect_bytes);
  AppendLittleEndian(body, version.commit_time_ns, sizeof(uint64_t));
  AppendVarint(body, 0);  // version tree nodes
  return ocdbt::Seal(ocdbt::kManifestMagic, body);
}

}  // namespace ckpt
