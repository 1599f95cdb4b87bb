#include "store/hf/api.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "base/json_text.h"
#include "base/text.h"
#include "store/hub/link_header.h"
#include "store/store.h"

namespace ckpt {
namespace {

using Json = nlohmann::json;

constexpr size_t kMostPages = 1000;  // of 1000 files each

Secret Bearer(const Credential& token) {
  return Secret(token.empty() ? "" : "Bearer " + token.secret.Reveal());
}

std::string TextOf(const Json& json, const char* key) {
  const auto found = json.find(key);
  return found != json.end() && found->is_string() ? found->get<std::string>() : "";
}

tl::unexpected<Error> NotTheHub(std::string_view what) {
  return Fail(Code::kBadInput, fmt::format("the Hub's answer {}", what),
              "check HF_ENDPOINT and proxies on the way, then run again");
}

Result<HfFile> ParseEntry(const Json& entry) {
  HfFile file;
  file.path = TextOf(entry, "path");
  CKPT_TRY_VOID(SafeName(file.path));
  file.git_oid = TextOf(entry, "oid");
  Json size = entry.value("size", Json());
  if (const auto lfs = entry.find("lfs"); lfs != entry.end() && lfs->is_object()) {
    file.sha256 = TextOf(*lfs, "oid");
    if (lfs->contains("size")) size = lfs->at("size");
  }
  if (!size.is_number_unsigned())
    return NotTheHub(fmt::format("names no size of \"{}\"", Excerpt(file.path)));
  file.size_bytes = size.get<uint64_t>();
  return file;
}

// "/" and the endpoint's own path before it, where it is a mirror below a folder.
std::string BasePath(const http::Url& endpoint) {
  std::string path = endpoint.path();
  while (path.ends_with('/')) path.pop_back();
  return path;
}

}  // namespace

Result<std::vector<HfFile>> ParseTree(std::string_view json) {
  const Json page = ParseJson(json);
  if (!page.is_array()) return NotTheHub("is no list of files");
  std::vector<HfFile> files;
  for (const Json& entry : page) {
    if (!entry.is_object()) return NotTheHub("is no list of files");
    if (TextOf(entry, "type") != "file") continue;
    CKPT_TRY(HfFile file, ParseEntry(entry));
    files.push_back(std::move(file));
  }
  return files;
}

HfApi::HfApi(HfOptions options, HfPlace place)
    : options_(std::move(options)),
      place_(std::move(place)),
      authorizer_(FixedAuthorizer(Bearer(options_.token))) {}

http::Request HfApi::Ask(const std::string& path) const {
  http::Request request;
  request.url = options_.endpoint.WithPath(BasePath(options_.endpoint) + path);
  request.authorizer = authorizer_;
  return request;
}

std::string HfApi::ResolvePath(const HfPlace& place, const std::string& commit,
                               std::string_view file) {
  return fmt::format("/{}/resolve/{}/{}", place.repo, commit, http::PercentEncode(file, "/"));
}

HfQuestion HfApi::Question() const {
  HfQuestion question;
  question.site = options_.endpoint.Origin();
  question.repo = place_.repo;
  question.revision = place_.revision;
  question.is_token_sent = !options_.token.empty();
  question.token_source = options_.token.source;
  return question;
}

Result<std::string> HfApi::ResolveRevision() {
  http::Request request = Ask(
      fmt::format("/api/models/{}/revision/{}", place_.repo, http::PercentEncode(place_.revision)));
  CKPT_TRY(const http::Response response, options_.engine->Send(std::move(request)));
  if (response.status != 200) {
    HfQuestion question = Question();
    const std::string* code = http::FindHeader(response.headers, "X-Error-Code");
    if (code != nullptr && *code == "RevisionNotFound") question.known = KnownRevisions();
    return Fail(ExplainHf(question, response.status, response.headers, response.body));
  }
  const Json json = ParseJson(response.body);
  std::string commit = json.is_object() ? TextOf(json, "sha") : "";
  if (!IsCommit(commit))
    return NotTheHub(fmt::format("names no commit of {}@{}", place_.repo, place_.revision));
  return commit;
}

// Only for the words of an error, so that its own errors have none.
std::vector<std::string> HfApi::KnownRevisions() {
  std::vector<std::string> names;
  const Result<http::Response> response =
      options_.engine->Send(Ask(fmt::format("/api/models/{}/refs", place_.repo)));
  if (!response || response->status != 200) return names;
  const Json refs = ParseJson(response->body);
  if (!refs.is_object()) return names;
  for (const char* kind : {"branches", "tags"}) {
    const auto list = refs.find(kind);
    if (list == refs.end() || !list->is_array()) continue;
    for (const Json& ref : *list) {
      if (ref.is_object() && !TextOf(ref, "name").empty()) names.push_back(TextOf(ref, "name"));
    }
  }
  return names;
}

Result<std::vector<HfFile>> HfApi::Tree(const std::string& commit, const std::stop_token& stop) {
  http::Request request = Ask(fmt::format("/api/models/{}/tree/{}", place_.repo, commit));
  request.url = request.url.WithQuery("recursive=true&expand=false");
  std::vector<HfFile> files;
  for (size_t page = 0; page < kMostPages; ++page) {
    if (stop.stop_requested()) return Fail(Code::kInterrupted, "the listing was interrupted");
    CKPT_TRY(const http::Response response, options_.engine->Send(request));
    if (response.status != 200)
      return Fail(ExplainHf(Question(), response.status, response.headers, response.body));
    CKPT_TRY(std::vector<HfFile> more, ParseTree(response.body));
    files.insert(files.end(), std::make_move_iterator(more.begin()),
                 std::make_move_iterator(more.end()));
    CKPT_TRY(const std::optional<http::Url> next, NextPage(request.url, response.headers));
    if (!next) return files;
    request.url = *next;
  }
  return NotTheHub(fmt::format("has more than {} pages of files", kMostPages));
}

}  // namespace ckpt
