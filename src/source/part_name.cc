#include "source/part_name.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "base/text.h"

namespace ckpt {
namespace {

constexpr size_t kDigits = 5;
constexpr std::string_view kOf = "-of-";
constexpr size_t kTailBytes = 1 + kDigits + kOf.size() + kDigits;  // "-00002-of-00005"

std::optional<uint32_t> FiveDigits(std::string_view text) {
  uint32_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text.size() != kDigits || error != std::errc() || end != text.data() + text.size())
    return std::nullopt;
  return number;
}

}  // namespace

std::optional<PartName> ParsePartName(std::string_view name) {
  const size_t dot = name.rfind('.');
  if (dot == std::string_view::npos || dot < kTailBytes) return std::nullopt;
  const std::string_view tail = name.substr(dot - kTailBytes, kTailBytes);
  if (tail[0] != '-' || tail.substr(1 + kDigits, kOf.size()) != kOf) return std::nullopt;
  const auto number = FiveDigits(tail.substr(1, kDigits));
  const auto count = FiveDigits(tail.substr(1 + kDigits + kOf.size()));
  if (!number || !count || *number == 0 || *number > *count) return std::nullopt;
  return PartName{std::string(name.substr(0, dot - kTailBytes)), *number, *count,
                  std::string(name.substr(dot))};
}

std::string ToString(const PartName& part) {
  return fmt::format("{}-{:05}-of-{:05}{}", part.stem, part.number, part.count, part.ending);
}

Result<std::vector<ObjectInfo>> FindParts(std::span<const ObjectInfo> objects,
                                          const PartName& part) {
  std::vector<ObjectInfo> found;
  std::vector<std::string> missing;
  PartName each = part;
  for (each.number = 1; each.number <= each.count; ++each.number) {
    std::string name = ToString(each);
    const auto at = std::find_if(objects.begin(), objects.end(),
                                 [&](const ObjectInfo& object) { return object.name == name; });
    if (at == objects.end())
      missing.push_back(std::move(name));
    else
      found.push_back(*at);
  }
  if (missing.empty()) return found;
  return Fail(Code::kBadInput,
              fmt::format("{} of the {} parts are missing: {}", missing.size(), part.count,
                          ListSome(missing, 8)),
              "fetch the missing parts");
}

}  // namespace ckpt
