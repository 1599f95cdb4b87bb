#include "format/orbax/msgpack.h"

#include <fmt/format.h>

#include <map>
#include <utility>

#include "base/check.h"
#include "base/endian.h"
#include "base/text.h"
#include "format/orbax/metadata.h"

namespace ckpt {
namespace {

constexpr std::string_view kPlaceholder = "PLACEHOLDER://";

// Type bytes of the format.
constexpr uint8_t kFixMap = 0x80;
constexpr uint8_t kFixArray = 0x90;
constexpr uint8_t kFixStr = 0xa0;
constexpr uint8_t kNil = 0xc0;
constexpr uint8_t kStr8 = 0xd9;
constexpr uint8_t kStr16 = 0xda;
constexpr uint8_t kStr32 = 0xdb;
constexpr uint8_t kArray16 = 0xdc;
constexpr uint8_t kArray32 = 0xdd;
constexpr uint8_t kMap16 = 0xde;
constexpr uint8_t kMap32 = 0xdf;
constexpr size_t kFixCountEnd = 16;
constexpr size_t kFixStrEnd = 32;
constexpr size_t k8BitEnd = 0x100;
constexpr size_t k16BitEnd = 0x10000;

void AppendText(std::string& out, std::string_view text) {
  CKPT_CHECK(text.size() < k16BitEnd);
  if (text.size() < kFixStrEnd) {
    AppendBigEndian(out, kFixStr | text.size(), 1);
  } else if (text.size() < k8BitEnd) {
    AppendBigEndian(out, kStr8, 1);
    AppendBigEndian(out, text.size(), 1);
  } else {
    AppendBigEndian(out, kStr16, 1);
    AppendBigEndian(out, text.size(), 2);
  }
  out += text;
}

// `small`, `medium`, `large`: the type bytes for counts below 16, below 2^16, and above.
void AppendCount(std::string& out, size_t count, uint8_t small, uint8_t medium, uint8_t large) {
  if (count < kFixCountEnd) {
    AppendBigEndian(out, small | count, 1);
  } else if (count < k16BitEnd) {
    AppendBigEndian(out, medium, 1);
    AppendBigEndian(out, count, 2);
  } else {
    AppendBigEndian(out, large, 1);
    AppendBigEndian(out, count, 4);
  }
}

struct Node {
  std::map<std::string, Node> children;
  bool is_sequence = false;
  std::string placeholder;  // of a leaf
};

void AppendNode(std::string& out, const Node& node) {  // as deep as the longest path
  if (!node.placeholder.empty()) return AppendText(out, node.placeholder);
  if (node.is_sequence) {
    AppendCount(out, node.children.size(), kFixArray, kArray16, kArray32);
    for (size_t i = 0; i < node.children.size(); ++i)
      AppendNode(out, node.children.at(std::to_string(i)));
    return;
  }
  AppendCount(out, node.children.size(), kFixMap, kMap16, kMap32);
  for (const auto& [key, child] : node.children) {
    AppendText(out, key);
    AppendNode(out, child);
  }
}

class Decoder {
 public:
  explicit Decoder(std::string_view bytes) : bytes_(bytes) {}

  Result<std::vector<OrbaxLeaf>> Decode() {
    CKPT_TRY_VOID(Value());
    if (position_ != bytes_.size())
      return Damaged(fmt::format("{} bytes follow the tree", bytes_.size() - position_));
    return std::move(leaves_);
  }

 private:
  tl::unexpected<Error> Damaged(std::string what) const {
    return Fail(Error{Code::kBadInput,
                      std::move(what),
                      {},
                      {{"byte", std::to_string(position_)}},
                      "the file \"checkpoint\" is damaged: fetch the checkpoint again"});
  }

  Result<uint64_t> Number(uint32_t size) {
    if (bytes_.size() - position_ < size) return Damaged("truncated");
    uint64_t value = 0;
    for (uint32_t i = 0; i < size; ++i)
      value = value << 8U | static_cast<unsigned char>(bytes_[position_++]);
    return value;
  }

  // Whether `type` begins a text, whose length follows.
  static bool IsText(uint8_t type) {
    return (type >= kFixStr && type < kNil) || (type >= kStr8 && type <= kStr32);
  }

  Result<std::string_view> Text(uint8_t type) {
    uint64_t length = type & (kFixStrEnd - 1U);
    if (type >= kStr8) {
      CKPT_TRY(length, Number(1U << static_cast<uint32_t>(type - kStr8)));
    }
    if (length > bytes_.size() - position_)
      return Damaged(fmt::format("truncated: a text of {} bytes", length));
    const std::string_view text = bytes_.substr(position_, length);
    position_ += length;
    if (FirstInvalidUtf8(text) != std::string_view::npos) return Damaged("a text is not UTF-8");
    return text;
  }

  Result<void> Leaf(std::string value_type) {
    if (path_.empty()) return Damaged("no tree: a single value");
    if (leaves_.size() == kOrbaxMaxLeaves)
      return Damaged(fmt::format("more than {} leaves", kOrbaxMaxLeaves));
    // Each leaf repeats the keys above it, which the file has only once.
    leaf_bytes_ += 2 * sizeof(OrbaxLeaf);  // in a vector that grows
    for (const OrbaxKey& key : path_) leaf_bytes_ += sizeof(OrbaxKey) + key.name.size();
    if (leaf_bytes_ > kOrbaxMostAggregateMemory)
      return Damaged(fmt::format("the leaves and their paths take more than {} bytes",
                                 kOrbaxMostAggregateMemory));
    const bool is_empty = !value_type.empty();
    leaves_.push_back({path_, std::move(value_type), is_empty});
    return {};
  }

  Result<void> Value() {  // as deep as kOrbaxMaxPathKeys
    CKPT_TRY(const uint64_t byte, Number(1));
    const auto type = static_cast<uint8_t>(byte);
    if (IsText(type)) {
      CKPT_TRY(const std::string_view text, Text(type));
      if (!text.starts_with(kPlaceholder)) return RefuseInline();
      return Leaf("");
    }
    if (type >= kFixMap && type < kFixArray) return Map(type & (kFixCountEnd - 1U));
    if (type >= kFixArray && type < kFixStr) return List(type & (kFixCountEnd - 1U));
    if (type == kMap16 || type == kMap32) {
      CKPT_TRY(const uint64_t count, Number(type == kMap16 ? 2 : 4));
      return Map(count);
    }
    if (type == kArray16 || type == kArray32) {
      CKPT_TRY(const uint64_t count, Number(type == kArray16 ? 2 : 4));
      return List(count);
    }
    return RefuseInline();
  }

  Result<void> RefuseInline() const {
    return Fail(Error{Code::kBadInput,
                      fmt::format("\"{}\" holds its value in the file \"checkpoint\" itself: this "
                                  "old form of checkpoint is not read",
                                  Excerpt(OrbaxTensorName(path_))),
                      {},
                      {{"byte", std::to_string(position_)}},
                      "restore it with the orbax that wrote it and save it again"});
  }

  Result<void> CheckRoom(uint64_t count, uint64_t least_bytes) const {
    if (count > (bytes_.size() - position_) / least_bytes)
      return Damaged(fmt::format("{} items cannot fit in the {} bytes that follow", count,
                                 bytes_.size() - position_));
    if (path_.size() == kOrbaxMaxPathKeys)
      return Damaged(fmt::format("nested deeper than {}", kOrbaxMaxPathKeys));
    return {};
  }

  Result<void> Map(uint64_t count) {
    CKPT_TRY_VOID(CheckRoom(count, 2));
    if (count == 0 && !path_.empty()) return Leaf("Dict");
    for (uint64_t i = 0; i < count; ++i) {
      CKPT_TRY(const uint64_t type, Number(1));
      if (!IsText(static_cast<uint8_t>(type))) return Damaged("a key that is no text");
      CKPT_TRY(const std::string_view key, Text(static_cast<uint8_t>(type)));
      path_.push_back({std::string(key), false});
      CKPT_TRY_VOID(Value());
      path_.pop_back();
    }
    return {};
  }

  Result<void> List(uint64_t count) {
    CKPT_TRY_VOID(CheckRoom(count, 1));
    if (count == 0 && !path_.empty()) return Leaf("List");
    for (uint64_t i = 0; i < count; ++i) {
      path_.push_back({std::to_string(i), true});
      CKPT_TRY_VOID(Value());
      path_.pop_back();
    }
    return {};
  }

  const std::string_view bytes_;
  uint64_t position_ = 0;
  std::vector<OrbaxKey> path_;
  std::vector<OrbaxLeaf> leaves_;
  uint64_t leaf_bytes_ = 0;
};

}  // namespace

std::string EncodeOrbaxAggregate(std::span<const OrbaxLeaf> leaves) {
  Node root;
  for (const OrbaxLeaf& leaf : leaves) {
    CKPT_CHECK(!leaf.path.empty());
    Node* node = &root;
    for (const OrbaxKey& key : leaf.path) {
      node->is_sequence = key.is_sequence;
      node = &node->children[key.name];
    }
    CKPT_CHECK(node->children.empty() && node->placeholder.empty());
    node->placeholder = std::string(kPlaceholder) + OrbaxParamName(leaf.path);
  }
  std::string out;
  AppendNode(out, root);
  return out;
}

Result<std::vector<OrbaxLeaf>> DecodeOrbaxAggregate(std::string_view bytes) {
  return Decoder(bytes).Decode();
}

}  // namespace ckpt
