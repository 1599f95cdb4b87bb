#include "source/torch/checklist.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <sstream>
#include <string_view>

#include "base/message_digest.h"
#include "base/text.h"
#include "base/units.h"
#include "source/reading.h"

namespace ckpt {
namespace {

constexpr std::string_view kChecklist = "checklist.chk";
constexpr uint64_t kMostChecklistBytes = kMiB;
constexpr std::array<std::string_view, 2> kSmallFiles = {"params.json", "tokenizer.model"};
constexpr uint64_t kMostSmallBytes = 64 * kMiB;
constexpr size_t kMd5Digits = 32;

}  // namespace

Result<std::map<std::string, std::string>> ReadChecklist(Store& store,
                                                         std::span<const ObjectInfo> here) {
  std::map<std::string, std::string> sums;
  const auto list = std::find_if(here.begin(), here.end(), [](const ObjectInfo& object) {
    return BaseName(object.name) == kChecklist;
  });
  if (list == here.end()) return sums;
  CKPT_TRY(const std::string text, store.ReadWhole(list->name, kMostChecklistBytes));
  std::istringstream words(text);
  std::string sum;
  std::string name;
  while (words >> sum >> name) {
    if (name.starts_with('*')) name.erase(0, 1);  // md5sum's mark of a binary file
    sums[std::string(BaseName(name))] = Lower(sum);
  }
  return sums;
}

Result<std::vector<std::string>> HoldToChecklist(Store& store, std::span<const ObjectInfo> here) {
  CKPT_TRY(const auto sums, ReadChecklist(store, here));
  if (sums.empty()) return std::vector<std::string>();
  for (const ObjectInfo& object : here) {
    const std::string name(BaseName(object.name));
    const auto sum = sums.find(name);
    const bool is_small =
        std::find(kSmallFiles.begin(), kSmallFiles.end(), name) != kSmallFiles.end();
    if (!is_small || sum == sums.end() || sum->second.size() != kMd5Digits) continue;
    CKPT_TRY(const std::string text, store.ReadWhole(object.name, kMostSmallBytes));
    const std::string found = Md5Hex(text);
    if (found == sum->second) continue;
    return Fail({Code::kBadInput,
                 fmt::format("its MD5 is {}, {} says {}", found, kChecklist, sum->second),
                 {},
                 {{"file", store.root().PrintBelow(object.name)}},
                 "the file is damaged or of another release: fetch it again"});
  }
  return std::vector<std::string>{fmt::format(
      "the MD5 sums of {} are not made for the shards, which are not read in order; the "
      "CRC-32 that each file keeps of its tensors is",
      kChecklist)};
}

}  // namespace ckpt
