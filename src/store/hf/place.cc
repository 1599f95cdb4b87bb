#include "store/hf/place.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <vector>

#include "base/text.h"
#include "store/http/url.h"
#include "store/store.h"

namespace ckpt {
namespace {

constexpr std::string_view kForm = "write hf://org/name, or hf://org/name@revision/folder";
constexpr size_t kMostPartLength = 96;

bool IsRepoCharacter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
         c == '_' || c == '-';
}

// What is wrong with one part of a repository id, or "".
std::string_view RepoPartDefect(std::string_view part) {
  if (part.empty()) return "is empty";
  if (part.size() > kMostPartLength) return "is longer than 96 characters";
  if (!std::all_of(part.begin(), part.end(), IsRepoCharacter))
    return "has other characters than letters, digits, '.', '_' and '-'";
  if (part.find("..") != std::string_view::npos) return "has \"..\"";
  if (part.find("--") != std::string_view::npos) return "has \"--\"";
  constexpr std::string_view not_at_ends = ".-";
  if (not_at_ends.find(part.front()) != std::string_view::npos ||
      not_at_ends.find(part.back()) != std::string_view::npos)
    return "begins or ends with '.' or '-'";
  return "";
}

// Where a revision ends that begins `text`: at a '/', but refs/pr/1 has two of its own.
size_t RevisionLength(std::string_view text) {
  size_t from = 0;
  if (text.starts_with("refs/pr/")) from = std::string_view("refs/pr/").size();
  if (text.starts_with("refs/convert/")) from = std::string_view("refs/convert/").size();
  return std::min(text.find('/', from), text.size());
}

// Of "org/name/folder" or "org/name": the length of the repository's id.
size_t RepoLength(std::string_view text) {
  const size_t slash = text.find('/');
  if (slash == std::string_view::npos) return text.size();
  return std::min(text.find('/', slash + 1), text.size());
}

}  // namespace

Result<void> CheckRepoId(std::string_view repo) {
  const std::vector<std::string> parts = Split(repo, '/');
  if (parts.size() > 2)
    return Fail(Code::kUsage, fmt::format("\"{}\" is no repository id", Excerpt(repo)),
                std::string(kForm));
  for (const std::string& part : parts) {
    if (const std::string_view defect = RepoPartDefect(part); !defect.empty())
      return Fail(Code::kUsage,
                  fmt::format(R"("{}" is no repository id: the part "{}" {})", Excerpt(repo),
                              Excerpt(part), defect),
                  std::string(kForm));
  }
  return {};
}

Result<HfPlace> HfPlace::Parse(std::string_view text) {
  constexpr std::string_view scheme = "hf://";
  if (text.starts_with(scheme)) text.remove_prefix(scheme.size());
  while (text.ends_with('/')) text.remove_suffix(1);
  HfPlace place;
  std::string_view folder;
  if (const size_t at = text.find('@'); at != std::string_view::npos) {
    place.repo = std::string(text.substr(0, at));
    std::string_view rest = text.substr(at + 1);
    const size_t length = RevisionLength(rest);
    CKPT_TRY(place.revision, http::PercentDecode(rest.substr(0, length)).map_error([](Error error) {
      error.code = Code::kUsage;
      return error;
    }));
    folder = rest.substr(std::min(length + 1, rest.size()));
  } else {
    const size_t length = RepoLength(text);
    place.repo = std::string(text.substr(0, length));
    folder = text.substr(std::min(length + 1, text.size()));
  }
  CKPT_TRY_VOID(CheckRepoId(place.repo));
  const auto as_usage = [](Error error) {
    error.code = Code::kUsage;
    error.remedy = kForm;
    return error;
  };
  // It becomes a file's name in the cache, and part of an address.
  CKPT_TRY_VOID(SafeName(place.revision).map_error(as_usage));
  if (!folder.empty()) CKPT_TRY_VOID(SafeName(folder).map_error(as_usage));
  place.folder = std::string(folder);
  return place;
}

std::string HfPlace::Print() const {
  return Below(fmt::format("hf://{}@{}", repo, http::PercentEncode(revision)), folder);
}

bool IsCommit(std::string_view text) {
  return text.size() == 40 && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

}  // namespace ckpt
