#include "cli/entrypoint/redact.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "base/text.h"

namespace ckpt::contract {
namespace {

constexpr std::string_view kHiddenQuery = "?[redacted]";
constexpr std::string_view kHidden = "[secret]";
constexpr size_t kLeastToken = 16;  // characters behind a token's prefix

bool EndsUrl(char c) {
  return std::isspace(static_cast<unsigned char>(c)) != 0 || c == '"' || c == '\'' || c == '<' ||
         c == '>' || c == '\\';
}
bool IsOfToken(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0; }

size_t EndOf(const std::string& text, size_t at, bool (*ends)(char)) {
  while (at < text.size() && !ends(text[at])) ++at;
  return at;
}

void HideInUrls(std::string& text) {
  for (size_t at = text.find("://"); at != std::string::npos; at = text.find("://", at)) {
    at += 3;
    size_t end = EndOf(text, at, EndsUrl);
    const size_t slash = std::min(text.find('/', at), end);
    if (const size_t user = text.rfind('@', slash); user != std::string::npos && user >= at) {
      text.erase(at, user + 1 - at);
      end -= user + 1 - at;
    }
    const size_t query = text.find_first_of("?#", at);
    if (query >= end) continue;
    text.replace(query, end - query, kHiddenQuery);
    at = query + kHiddenQuery.size();
  }
}

void HideTokens(std::string& text) {
  for (const std::string_view prefix : {"hf_", "KGAT_", "ya29."}) {
    for (size_t at = text.find(prefix); at != std::string::npos; at = text.find(prefix, at + 1)) {
      const size_t begin = at + prefix.size();
      const size_t end = EndOf(text, begin, [](char c) { return !IsOfToken(c); });
      const bool is_word = at == 0 || !IsOfToken(text[at - 1]);
      if (is_word && end - begin >= kLeastToken) text.replace(at, end - at, kHidden);
    }
  }
}

// Pieces of a signed URL that was torn apart.
void HideSignatures(std::string& text) {
  for (const std::string_view key : {"Policy=", "Signature=", "Key-Pair-Id=", "Credential="}) {
    for (size_t at = text.find(key); at != std::string::npos; at = text.find(key, at + 1)) {
      const size_t begin = at + key.size();
      const size_t end = EndOf(text, begin, [](char c) { return c == '&' || EndsUrl(c); });
      text.replace(begin, end - begin, kHidden);
    }
  }
}

}  // namespace

std::string HideSecrets(std::string_view text) {
  std::string shown(text);
  HideInUrls(shown);
  HideTokens(shown);
  HideSignatures(shown);
  return shown;
}

std::string Redacted(std::string_view word) { return Printable(HideSecrets(word)); }

}  // namespace ckpt::contract
