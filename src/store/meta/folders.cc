#include "store/meta/folders.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <vector>

#include "base/text.h"

namespace ckpt {
namespace {

// An id taken apart: "Llama3.1-405B-Instruct:bf16-mp8" -> 3.1, 405b, instruct, bf16-mp8.
struct ModelId {
  std::string generation;
  std::string size;
  bool is_tuned = false;
  std::string variant;
};

std::string_view WithoutPrefix(std::string_view text, std::string_view prefix) {
  if (text.starts_with(prefix)) text.remove_prefix(prefix.size());
  return text;
}

bool IsOneOf(std::string_view word, std::initializer_list<std::string_view> words) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

bool IsKnown(const ModelId& id) {
  if (id.generation == "2") return IsOneOf(id.size, {"7b", "13b", "70b"});
  if (id.generation == "3") return IsOneOf(id.size, {"8b", "70b"});
  if (id.generation == "3.1") return IsOneOf(id.size, {"8b", "70b", "405b"});
  if (id.generation == "3.2") return IsOneOf(id.size, {"1b", "3b"});
  return id.generation == "3.3" && id.size == "70b" && id.is_tuned;
}

Result<ModelId> TakeApart(std::string_view given) {
  const auto refuse = [&] {
    return Fail(
        Code::kUsage, fmt::format("\"{}\" is no model id of Meta", Excerpt(given)),
        "such as Llama-2-7b-chat, Meta-Llama-3-8B-Instruct, Llama3.1-405B-Instruct:bf16-mp16"
        " or Llama-3.3-70B-Instruct");
  };
  std::string text = Lower(given);
  while (text.ends_with('/')) text.pop_back();
  std::string_view rest = text;
  rest = rest.substr(rest.rfind('/') + 1);  // without the owner
  ModelId id;
  if (const size_t colon = rest.find(':'); colon != std::string_view::npos) {
    id.variant = std::string(rest.substr(colon + 1));
    rest = rest.substr(0, colon);
  }
  rest = WithoutPrefix(rest, "meta-");
  if (!rest.starts_with("llama")) return refuse();
  rest = WithoutPrefix(WithoutPrefix(rest, "llama"), "-");
  const std::vector<std::string> parts = Split(rest, '-');
  if (parts.size() < 2) return refuse();
  id.generation = parts[0];
  id.size = parts[1];
  for (size_t i = 2; i < parts.size(); ++i) {
    if (parts[i] == "instruct" || parts[i] == "chat") {
      id.is_tuned = true;
    } else if (IsOneOf(parts[i], {"mp8", "mp16", "fp8"})) {
      id.variant = parts[i];
    } else if (!IsOneOf(parts[i], {"hf", "bf16"})) {
      return refuse();
    }
  }
  if (!IsKnown(id)) return refuse();
  return id;
}

std::string Upper(std::string text) {
  for (char& c : text) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  return text;
}

}  // namespace

Result<MetaFolder> FolderOfModel(std::string_view model_id) {
  CKPT_TRY(const ModelId id, TakeApart(model_id));
  if (id.generation == "2")
    return MetaFolder{fmt::format("llama-2-{}{}", id.size, id.is_tuned ? "-chat" : ""), true};
  // The last part of the repository's name on the Hub, which was "Meta-Llama" up to 3.1.
  const bool has_prefix = id.generation == "3" || id.generation == "3.1";
  std::string folder = fmt::format("{}Llama-{}-{}{}", has_prefix ? "Meta-" : "", id.generation,
                                   Upper(id.size), id.is_tuned ? "-Instruct" : "");
  if (id.size == "405b") {
    const bool is_fp8 = id.variant.starts_with("fp8");
    if (!is_fp8) folder += id.variant.ends_with("mp8") ? "-MP8" : "-MP16";
  }
  return MetaFolder{std::move(folder), false};
}

}  // namespace ckpt
