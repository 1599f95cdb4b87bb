#include "format/pickle/legacy.h"

#include <fmt/format.h>

#include <unordered_map>

#include "base/text.h"
#include "format/pickle/machine.h"
#include "format/pickle/refusal.h"

namespace ckpt::pickle {
namespace {

constexpr std::string_view kMagic("\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19",
                                  10);  // 0x1950a86a20f9469cfc6c
constexpr int64_t kVersion = 1001;
constexpr uint64_t kCountBytes = 8;
// The small pickles around the state dict: of keys there may be 4 million.
constexpr uint64_t kMemoryBytes = 64ULL << 20U;

// One of the small pickles, and what keeps its values.
struct Small {
  explicit Small(std::string_view pickle, uint64_t first_byte)
      : memory(kMemoryBytes), machine(pickle, {"the file", first_byte}, memory) {}
  MemoryLeft memory;
  Machine machine;
};

}  // namespace

Result<std::optional<uint64_t>> FindPickleEnd(std::string_view front, uint64_t first_byte) {
  return FindLength(front, first_byte);
}

Result<void> CheckLegacyMagic(std::string_view pickle, uint64_t first_byte) {
  Small small(pickle, first_byte);
  CKPT_TRY(const Value value, small.machine.Run());
  if (value.kind == Kind::kBigInt && small.machine.arena().Text(value) == kMagic) return {};
  return Damaged(first_byte, "a pickle, but not one of PyTorch's: its magic number is another one",
                 "name a file that torch.save wrote");
}

Result<void> CheckLegacyVersion(std::string_view pickle, uint64_t first_byte) {
  Small small(pickle, first_byte);
  CKPT_TRY(const Value value, small.machine.Run());
  if (value.kind == Kind::kInt && value.number == kVersion) return {};
  return Damaged(first_byte, fmt::format("the file's version is not {}", kVersion),
                 "load it in a recent PyTorch and save it again");
}

Result<bool> DecodeLegacyBigEndian(std::string_view pickle, uint64_t first_byte) {
  Small small(pickle, first_byte);
  CKPT_TRY(const Value value, small.machine.Run());
  const Arena& arena = small.machine.arena();
  if (value.kind == Kind::kDict) {
    const std::vector<Value>& items = arena.Items(value);
    for (size_t i = 0; i + 1 < items.size(); i += 2) {
      if (items[i].kind == Kind::kString && arena.Text(items[i]) == "little_endian" &&
          items[i + 1].kind == Kind::kBool)
        return items[i + 1].number == 0;
    }
  }
  return NotPlain(first_byte, "sys_info does not say the byte order");
}

Result<std::vector<std::string>> DecodeLegacyKeys(std::string_view pickle, uint64_t first_byte) {
  Small small(pickle, first_byte);
  CKPT_TRY(const Value value, small.machine.Run());
  const Arena& arena = small.machine.arena();
  if (value.kind != Kind::kList) return NotPlain(first_byte, "the storages' keys are no list");
  std::vector<std::string> keys;
  for (const Value& item : arena.Items(value)) {
    if (item.kind != Kind::kString) return NotPlain(first_byte, "a storage's key is no string");
    CKPT_TRY_VOID(small.memory.Keep(3 * sizeof(std::string) + arena.Text(item).size()));
    keys.emplace_back(arena.Text(item));
  }
  return keys;
}

Result<LegacyLayout> PlaceLegacyStorages(const StateDict& dict,
                                         const std::vector<std::string>& keys, uint64_t data_begin,
                                         uint64_t file_bytes) {
  std::unordered_map<std::string_view, size_t> numbers;
  for (size_t i = 0; i < dict.storages.size(); ++i) numbers.emplace(dict.storages[i].key, i);
  LegacyLayout layout;
  layout.storages.resize(dict.storages.size());
  layout.counts_at.resize(dict.storages.size());
  std::vector<bool> is_placed(dict.storages.size(), false);
  uint64_t at = data_begin;
  for (const std::string& key : keys) {
    const auto found = numbers.find(key);
    if (found == numbers.end())
      return NotPlain(
          at, fmt::format("the file has a storage {} that its pickle does not name", Excerpt(key)));
    if (is_placed[found->second])
      return NotPlain(at, fmt::format("storage {} comes twice", Excerpt(key)));
    const Storage& storage = dict.storages[found->second];
    if (at > file_bytes || kCountBytes > file_bytes - at ||
        storage.size_bytes > file_bytes - at - kCountBytes)
      return Damaged(
          at,
          fmt::format(
              "storage {} of {} bytes reaches beyond the end of the file at byte {}: truncated",
              Excerpt(key), storage.size_bytes, file_bytes),
          "the download is incomplete: fetch it again");
    is_placed[found->second] = true;
    layout.counts_at[found->second] = at;
    layout.storages[found->second] = {at + kCountBytes, at + kCountBytes + storage.size_bytes};
    at += kCountBytes + storage.size_bytes;
  }
  for (size_t i = 0; i < is_placed.size(); ++i) {
    if (!is_placed[i])
      return NotPlain(data_begin, fmt::format("the file has no storage {}, which its pickle names",
                                              Excerpt(dict.storages[i].key)));
  }
  layout.end = at;
  return layout;
}

}  // namespace ckpt::pickle
