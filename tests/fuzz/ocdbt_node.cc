#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "format/ocdbt/node.h"
#include "tests/fuzz/expect.h"
#include "tests/unit/format/ocdbt_builder.h"

namespace ckpt {
namespace {

constexpr uint64_t kMostDecodedBytes = 1U << 20U;
constexpr uint64_t kMostKeptBytes = 1U << 22U;  // keys may share far more than they say

struct Kept {
  std::string key;
  bool is_inline = false;
  std::string text;
  OcdbtRange range;
  OcdbtChild child;
  bool operator==(const Kept& other) const {
    return key == other.key && is_inline == other.is_inline && text == other.text &&
           range.offset == other.range.offset && range.length == other.range.length &&
           child.prefix_bytes == other.child.prefix_bytes &&
           child.range.offset == other.child.range.offset &&
           child.statistics == other.child.statistics;
  }
};

struct Node {
  std::vector<Kept> entries;
  std::vector<OcdbtFile> files;
};

Result<Node> Decode(std::string_view bytes, uint8_t height) {
  Node node;
  uint64_t kept = 0;
  CKPT_TRY_VOID(DecodeOcdbtNode(
      bytes, height, "", kMostDecodedBytes,
      [&](const OcdbtNodeHeader& header, const OcdbtNodeEntry& entry) -> Result<void> {
        node.files = header.files;
        kept += entry.key.size() + sizeof(Kept);
        if (kept > kMostKeptBytes) return Fail(Code::kResources, "too large for this test", "none");
        FUZZ_EXPECT(entry.key.size() <= kOcdbtMaxKeyBytes);
        FUZZ_EXPECT(node.entries.empty() || node.entries.back().key < entry.key);
        Kept each;
        each.key = entry.key;
        if (const auto* text = std::get_if<OcdbtInline>(&entry.value)) {
          each.is_inline = true;
          each.text = text->bytes;
        } else if (const auto* range = std::get_if<OcdbtRange>(&entry.value)) {
          FUZZ_EXPECT(range->file < header.files.size());
          each.range = *range;
        } else {
          each.child = std::get<OcdbtChild>(entry.value);
          FUZZ_EXPECT(each.child.range.file < header.files.size());
          FUZZ_EXPECT(each.child.prefix_bytes <= each.key.size());
        }
        node.entries.push_back(std::move(each));
        return {};
      }));
  return node;
}

std::string Encode(const Node& node, uint8_t height) {
  std::vector<OcdbtLeafItem> leaf;
  std::vector<OcdbtChildItem> interior;
  for (const Kept& each : node.entries) {
    if (height > 0)
      interior.push_back({each.key, each.child});
    else if (each.is_inline)
      leaf.push_back({each.key, std::string_view(each.text)});
    else
      leaf.push_back({each.key, each.range});
  }
  return height > 0 ? EncodeOcdbtInterior(height, interior, 0, node.files)
                    : EncodeOcdbtLeaf(leaf, 0, node.files);
}

void Run(std::string_view bytes, uint8_t height) {
  const auto node = Decode(bytes, height);
  if (!node) {
    FUZZ_EXPECT(node.error().code == Code::kBadInput || node.error().code == Code::kResources);
    FUZZ_EXPECT(!node.error().remedy.empty());
    return;
  }
  FUZZ_EXPECT(!node->entries.empty());
  const std::string written = Encode(*node, height);
  const auto again = Decode(written, height);
  FUZZ_EXPECT(again);
  FUZZ_EXPECT(again->entries == node->entries);
  FUZZ_EXPECT(Encode(*again, height) == written);
}

}  // namespace
}  // namespace ckpt

// The body begins with the height, so that its first byte chooses what is expected. Once more as
// the body of an envelope whose checksum is right: a fuzzer never finds a CRC by itself.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  ckpt::Run(bytes, 0);
  if (size > 0) ckpt::Run(ckpt::SealBody(ckpt::kNodeMagicHex, bytes), data[0]);
  return 0;
}
