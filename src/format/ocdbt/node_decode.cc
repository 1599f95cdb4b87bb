#include <fmt/format.h>

#include <utility>

#include "format/ocdbt/byte_reader.h"
#include "format/ocdbt/envelope.h"
#include "format/ocdbt/node.h"

namespace ckpt {
namespace {

using ocdbt::ByteReader;

constexpr uint32_t kCountBits = 32;
constexpr uint32_t kLengthBits = 16;
constexpr uint8_t kInlineKind = 0;
constexpr uint8_t kRangeKind = 1;
constexpr uint64_t kLeastEntryBytes = 3;  // a key's length, a value's length, its kind

// The keys: three columns that are read side by side, one key alive at a time.
class Keys {
 public:
  // Steps over the length columns and the bytes of the keys.
  Result<void> Open(ByteReader& in, uint64_t count, bool is_interior) {
    prefixes_ = in;
    CKPT_TRY_VOID(in.SkipVarints(count - 1, kLengthBits));
    suffixes_ = in;
    uint64_t suffix_bytes = 0;
    for (uint64_t i = 0; i < count; ++i) {
      CKPT_TRY(const uint64_t length, in.Varint(kLengthBits));
      suffix_bytes += length;
    }
    subtree_prefixes_ = in;
    if (is_interior) CKPT_TRY_VOID(in.SkipVarints(count, kLengthBits));
    bytes_ = in;
    CKPT_TRY_VOID(in.Take(suffix_bytes));
    return {};
  }

  Result<void> Next() {
    uint64_t prefix = 0;
    if (!is_first_) {
      CKPT_TRY(prefix, prefixes_.Varint(kLengthBits));
    }
    CKPT_TRY(const uint64_t suffix, suffixes_.Varint(kLengthBits));
    if (prefix > key_.size())
      return bytes_.Damaged("a key shares more bytes than the key before has");
    if (prefix + suffix > kOcdbtMaxKeyBytes)
      return bytes_.Damaged(fmt::format("a key of {} bytes, at most {} are allowed",
                                        prefix + suffix, kOcdbtMaxKeyBytes));
    CKPT_TRY(const std::string_view bytes, bytes_.Take(suffix));
    // Greater than the key before: compared where the two begin to differ.
    if (!is_first_ && bytes <= std::string_view(key_).substr(prefix))
      return bytes_.Damaged("keys are not in order");
    key_.resize(prefix);
    key_ += bytes;
    is_first_ = false;
    return {};
  }
  Result<uint64_t> NextSubtreePrefix() {
    CKPT_TRY(const uint64_t length, subtree_prefixes_.Varint(kLengthBits));
    if (length > key_.size())
      return subtree_prefixes_.Damaged("a subtree's prefix is longer than its key");
    return length;
  }
  std::string_view key() const { return key_; }

 private:
  ByteReader prefixes_;
  ByteReader suffixes_;
  ByteReader subtree_prefixes_;
  ByteReader bytes_;
  std::string key_;
  bool is_first_ = true;
};

// The columns of ranges.
struct Ranges {
  ByteReader file;
  ByteReader offset;

  Result<void> Open(ByteReader& in, uint64_t count) {
    file = in;
    CKPT_TRY_VOID(in.SkipVarints(count));
    offset = in;
    return in.SkipVarints(count);
  }
  Result<OcdbtRange> Next(uint64_t length, size_t files) {
    CKPT_TRY(const uint64_t id, file.Varint());
    if (id >= files) return file.Damaged(fmt::format("data file {} of {}", id, files));
    CKPT_TRY(const uint64_t begin, offset.Varint());
    if (begin > INT64_MAX || length > INT64_MAX - begin)
      return offset.Damaged(fmt::format("a range at byte {} of {} bytes", begin, length));
    return OcdbtRange{static_cast<uint32_t>(id), begin, length};
  }
};

Result<void> ReadLeaf(ByteReader& in, const OcdbtNodeHeader& header, Keys& keys,
                      const OcdbtNodeVisit& visit) {
  ByteReader lengths = in;
  CKPT_TRY_VOID(in.SkipVarints(header.entries));
  const ByteReader kind_column = in;
  CKPT_TRY(const std::string_view kinds, in.Take(header.entries));
  uint64_t ranges_count = 0;
  for (const char kind : kinds) {
    if (static_cast<uint8_t>(kind) > kRangeKind)
      return kind_column.Damaged(
          fmt::format("value kind {} is unknown", static_cast<uint8_t>(kind)));
    if (static_cast<uint8_t>(kind) == kRangeKind) ++ranges_count;
  }
  Ranges ranges;
  CKPT_TRY_VOID(ranges.Open(in, ranges_count));
  for (const char kind : kinds) {
    CKPT_TRY_VOID(keys.Next());
    const ByteReader at_length = lengths;
    CKPT_TRY(const uint64_t length, lengths.Varint());
    OcdbtNodeEntry entry{keys.key(), {}};
    if (static_cast<uint8_t>(kind) == kInlineKind) {
      if (length > kOcdbtMaxInlineBytes)
        return at_length.Damaged(fmt::format("an inline value of {} bytes, at most {} are allowed",
                                             length, kOcdbtMaxInlineBytes));
      CKPT_TRY(const std::string_view bytes, in.Take(length));
      entry.value = OcdbtInline{bytes};
    } else {
      CKPT_TRY(const OcdbtRange range, ranges.Next(length, header.files.size()));
      entry.value = range;
    }
    CKPT_TRY_VOID(visit(header, entry));
  }
  return {};
}

Result<void> ReadInterior(ByteReader& in, const OcdbtNodeHeader& header, Keys& keys,
                          const OcdbtNodeVisit& visit) {
  const auto column = [&](ByteReader& start) {
    start = in;
    return in.SkipVarints(header.entries);
  };
  Ranges ranges;
  CKPT_TRY_VOID(ranges.Open(in, header.entries));
  ByteReader lengths;
  ByteReader key_counts;
  ByteReader tree_bytes;
  ByteReader indirect_bytes;
  for (ByteReader* each : {&lengths, &key_counts, &tree_bytes, &indirect_bytes})
    CKPT_TRY_VOID(column(*each));
  for (uint64_t i = 0; i < header.entries; ++i) {
    CKPT_TRY_VOID(keys.Next());
    OcdbtChild child;
    CKPT_TRY(child.prefix_bytes, keys.NextSubtreePrefix());
    CKPT_TRY(const uint64_t length, lengths.Varint());
    CKPT_TRY(child.range, ranges.Next(length, header.files.size()));
    CKPT_TRY(child.statistics.keys, key_counts.Varint());
    CKPT_TRY(child.statistics.tree_bytes, tree_bytes.Varint());
    CKPT_TRY(child.statistics.indirect_bytes, indirect_bytes.Varint());
    CKPT_TRY_VOID(visit(header, {keys.key(), child}));
  }
  return {};
}

}  // namespace

Result<void> DecodeOcdbtNode(std::string_view bytes, uint8_t height, std::string_view transitive,
                             uint64_t most_decoded_bytes, const OcdbtNodeVisit& visit) {
  const Code over_limit =
      most_decoded_bytes < kOcdbtMaxDecodedNodeBytes ? Code::kResources : Code::kBadInput;
  CKPT_TRY(const ocdbt::Body body,
           ocdbt::Unseal(ocdbt::kNodeMagic, bytes, most_decoded_bytes, over_limit));
  ByteReader in = body.reader();
  OcdbtNodeHeader header;
  const ByteReader at_height = in;
  CKPT_TRY(header.height, in.U8());
  if (header.height != height)
    return at_height.Damaged(
        fmt::format("a node of height {} where one of {} belongs", header.height, height));
  CKPT_TRY(header.files, ocdbt::ReadFileTable(in, transitive));
  const ByteReader at_count = in;
  CKPT_TRY(header.entries, in.Varint(kCountBits));
  if (header.entries == 0 || header.entries > kOcdbtMaxEntries)
    return at_count.Damaged(
        fmt::format("a node of {} entries, of 1 to {}", header.entries, kOcdbtMaxEntries));
  CKPT_TRY_VOID(in.CheckCount("entries", header.entries, kLeastEntryBytes));
  Keys keys;
  CKPT_TRY_VOID(keys.Open(in, header.entries, height > 0));
  CKPT_TRY_VOID(height > 0 ? ReadInterior(in, header, keys, visit)
                           : ReadLeaf(in, header, keys, visit));
  return in.CheckEnd();
}

}  // namespace ckpt
