#include "cli/entrypoint/places.h"

#include <algorithm>
#include <cctype>

namespace ckpt::contract {
namespace {

constexpr std::string_view kBucketScheme = "gs://";

bool IsLowerOrDigit(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

}  // namespace

bool IsBucketName(std::string_view name) {
  if (name.size() < 3 || name.size() > 222) return false;
  return IsLowerOrDigit(name.front()) && IsLowerOrDigit(name.back()) &&
         std::all_of(name.begin(), name.end(),
                     [](char c) { return IsLowerOrDigit(c) || c == '-' || c == '_' || c == '.'; });
}

bool LooksUnreplaced(std::string_view text) {
  for (size_t at = text.find('$'); at != std::string_view::npos; at = text.find('$', at + 1)) {
    const char next = at + 1 < text.size() ? text[at + 1] : '\0';
    if (next == '{' || next == '(' || next == '_' ||
        std::isalpha(static_cast<unsigned char>(next)) != 0)
      return true;
  }
  if (text.size() > 2 && text.front() == '<' && text.back() == '>') return true;
  return text.find('_') != std::string_view::npos &&
         std::all_of(text.begin(), text.end(), [](char c) {
           return c == '_' || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
         });
}

bool IsBucketUri(std::string_view place) { return place.starts_with(kBucketScheme); }

bool IsLocal(std::string_view place) {
  return place.find("://") == std::string_view::npos &&
         (place.find('/') != std::string_view::npos || place == "." || place == "..");
}

bool IsDirectoryPath(std::string_view path) {
  return IsBucketUri(path) || path.starts_with('/') || path.starts_with('.');
}

std::string Collapsed(std::string_view place) {
  std::string collapsed;
  if (IsBucketUri(place)) {
    collapsed = kBucketScheme;
    place.remove_prefix(kBucketScheme.size());
    while (place.starts_with('/')) place.remove_prefix(1);
  }
  const size_t prefix = collapsed.size();
  for (const char c : place) {
    if (c == '/' && collapsed.ends_with('/') && collapsed.size() > prefix) continue;
    collapsed += c;
  }
  while (collapsed.size() > prefix + 1 && collapsed.ends_with('/')) collapsed.pop_back();
  return collapsed;
}

std::string_view BucketOf(std::string_view place) {
  place.remove_prefix(kBucketScheme.size());
  return place.substr(0, place.find('/'));
}

std::string_view BehindBucket(std::string_view place) {
  place.remove_prefix(kBucketScheme.size());
  const size_t slash = place.find('/');
  return slash == std::string_view::npos ? std::string_view() : place.substr(slash);
}

}  // namespace ckpt::contract
