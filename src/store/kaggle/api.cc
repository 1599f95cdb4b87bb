#include "store/kaggle/api.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "base/json_text.h"
#include "base/text.h"
#include "store/hub/credential.h"
#include "store/hub/redirect.h"
#include "store/store.h"

namespace ckpt {
namespace {

using Json = nlohmann::json;
using OrderedJson = nlohmann::ordered_json;

constexpr size_t kMostPages = 10'000;
constexpr int kPageSize = 100;
constexpr uint64_t kMostVersion = 1'000'000'000;

std::string StringOf(const Json& json, const char* key) {
  const auto found = json.find(key);
  return found != json.end() && found->is_string() ? found->get<std::string>() : "";
}

// A number; protocol buffers print those of 64 bits as text.
std::optional<uint64_t> NumberOf(const Json& json, const char* key) {
  const auto found = json.find(key);
  if (found == json.end()) return std::nullopt;
  if (found->is_number_unsigned()) return found->get<uint64_t>();
  if (!found->is_string()) return std::nullopt;
  const Json number = ParseJson(found->get<std::string>());
  return number.is_number_unsigned() ? std::optional(number.get<uint64_t>()) : std::nullopt;
}

tl::unexpected<Error> NotKaggle(std::string_view what) {
  return Fail(Code::kBadInput, fmt::format("Kaggle's answer {}", what),
              "check KAGGLE_API_ENDPOINT and proxies on the way, then run again");
}

OrderedJson InstanceOf(const KaggleHandle& handle) {
  return {{"ownerSlug", handle.owner},
          {"modelSlug", handle.model},
          {"framework", FrameworkEnum(handle.framework)},
          {"instanceSlug", handle.variation}};
}

OrderedJson VersionOf(const KaggleHandle& handle) {
  OrderedJson json = InstanceOf(handle);
  json["versionNumber"] = handle.version;
  return json;
}

}  // namespace

Result<KagglePage> ParseKagglePage(std::string_view json) {
  const Json answer = ParseJson(json);
  if (!answer.is_object()) return NotKaggle("is no list of files");
  KagglePage page;
  page.next = StringOf(answer, "nextPageToken");
  const auto files = answer.find("files");
  if (files == answer.end() || files->is_null()) return page;
  if (!files->is_array()) return NotKaggle("is no list of files");
  for (const Json& entry : *files) {
    if (!entry.is_object()) return NotKaggle("is no list of files");
    KaggleFile file{StringOf(entry, "name"), 0, StringOf(entry, "creationDate")};
    CKPT_TRY_VOID(SafeName(file.name));
    // Protocol buffers leave out a number that is 0.
    const bool is_empty = !entry.contains("size");
    const std::optional<uint64_t> size = is_empty ? 0 : NumberOf(entry, "size");
    if (!size) return NotKaggle(fmt::format("names no size of \"{}\"", Excerpt(file.name)));
    file.size_bytes = *size;
    page.files.push_back(std::move(file));
  }
  return page;
}

KaggleApi::KaggleApi(KaggleOptions options, KaggleHandle handle)
    : options_(std::move(options)),
      handle_(std::move(handle)),
      authorizer_(FixedAuthorizer(options_.credential.authorization)) {}

KaggleQuestion KaggleApi::Question(std::string file) const {
  return {handle_, options_.credential, std::move(file), 0};
}

Result<http::Response> KaggleApi::AskProcedure(const Call& call) const {
  http::Request request;
  request.method = "POST";
  request.url = options_.procedures.WithPath(
      fmt::format("{}/models.ModelApiService/{}", options_.procedures.path(), call.procedure));
  request.headers = {{"Content-Type", "application/json"}, {"Accept", "application/json"}};
  request.authorizer = authorizer_;
  request.body = std::as_bytes(std::span(call.body));
  request.follows_redirects = false;
  return options_.engine->Send(std::move(request));
}

Result<http::Response> KaggleApi::AskPath(const Call& call) const {
  http::Request request;
  request.url = options_.paths.WithPath(
      fmt::format("{}/models/{}/{}/{}/{}{}", options_.paths.path(), handle_.owner, handle_.model,
                  handle_.framework, handle_.variation, call.path));
  if (!call.query.empty()) request.url = request.url.WithQuery(call.query);
  request.authorizer = authorizer_;
  request.follows_redirects = false;
  return options_.engine->Send(std::move(request));
}

Result<http::Response> KaggleApi::Ask(const Call& call) const {
  if (!has_procedures_) return AskPath(call);
  CKPT_TRY(http::Response by_procedure, AskProcedure(call));
  if (KaggleStatus(by_procedure) != 404) return by_procedure;
  // No such procedure, or no such model: the other generation tells.
  CKPT_TRY(http::Response by_path, AskPath(call));
  if (KaggleStatus(by_path) < 400) has_procedures_ = false;
  return by_path;
}

Result<void> KaggleApi::ResolveVersion() {
  if (handle_.version != 0) return {};
  const Call call{"GetModelInstance", PrintJsonLine(InstanceOf(handle_)), "/get", ""};
  CKPT_TRY(const http::Response answer, Ask(call));
  if (const int status = KaggleStatus(answer); status != 200)
    return Fail(ExplainKaggle(Question(), status, answer.body));
  const Json json = ParseJson(answer.body);
  const std::optional<uint64_t> version =
      json.is_object() ? NumberOf(json, "versionNumber") : std::nullopt;
  if (!version || *version == 0 || *version > kMostVersion)
    return NotKaggle("names no version of " + handle_.Print());
  handle_.version = static_cast<unsigned>(*version);
  return {};
}

KaggleApi::Call KaggleApi::Listing(const std::string& page) const {
  OrderedJson body = VersionOf(handle_);
  body["pageSize"] = kPageSize;
  if (!page.empty()) body["pageToken"] = page;
  std::string query = fmt::format("page_size={}", kPageSize);
  if (!page.empty()) query += "&page_token=" + http::PercentEncode(page);
  return {"ListModelInstanceVersionFiles", PrintJsonLine(body),
          fmt::format("/{}/files", handle_.version), query};
}

Result<KaggleListing> KaggleApi::Files(const std::stop_token& stop) {
  KaggleListing listing;
  std::string next;
  for (size_t pages = 0; pages < kMostPages; ++pages) {
    if (stop.stop_requested()) return Fail(Code::kInterrupted, "the listing was interrupted");
    CKPT_TRY(const http::Response answer, Ask(Listing(next)));
    if (const int status = KaggleStatus(answer); status != 200)
      return NotFiles(status, answer.body);
    CKPT_TRY(KagglePage page, ParseKagglePage(answer.body));
    listing.files.insert(listing.files.end(), std::make_move_iterator(page.files.begin()),
                         std::make_move_iterator(page.files.end()));
    if (page.next.empty()) return listing;
    if (page.next == next) return NotKaggle("names the same page as the next one");
    next = std::move(page.next);
  }
  return NotKaggle(fmt::format("has more than {} pages of files", kMostPages));
}

// Why there is no listing: a version that comes as an archive only, a refusal, or a missing version
// (with those there are).
Result<KaggleListing> KaggleApi::NotFiles(int status, std::string_view body) {
  const bool may_be_archive =
      status == 400 || status == 403 || status == 404 || status == 405 || status == 501;
  if (may_be_archive && Sign("")) return KaggleListing{{}, true};
  KaggleQuestion question = Question();
  if (status == 404) {
    const Newest newest = AskNewest();
    if (newest.version) question.newest = *newest.version;
  }
  return Fail(ExplainKaggle(question, status, body));
}

KaggleApi::Newest KaggleApi::AskNewest() const {
  const Call call{"GetModelInstance", PrintJsonLine(InstanceOf(handle_)), "/get", ""};
  const Result<http::Response> answer = Ask(call);
  if (!answer || KaggleStatus(*answer) != 200) return {};
  const Json json = ParseJson(answer->body);
  if (!json.is_object()) return {};
  Newest newest;
  const std::optional<uint64_t> version = NumberOf(json, "versionNumber");
  if (version && *version > 0 && *version <= kMostVersion)
    newest.version = static_cast<unsigned>(*version);
  newest.unpacked_bytes = NumberOf(json, "totalUncompressedBytes");
  return newest;
}

std::optional<uint64_t> KaggleApi::UnpackedBytes() const {
  const Newest newest = AskNewest();
  return newest.version == handle_.version ? newest.unpacked_bytes : std::nullopt;
}

Result<http::Url> KaggleApi::Sign(const std::string& file) const {
  OrderedJson body = VersionOf(handle_);
  std::string path = fmt::format("/{}/download", handle_.version);
  if (!file.empty()) {
    body["path"] = file;
    path += "/" + http::PercentEncode(file, "/");
  }
  CKPT_TRY(const http::Response answer,
           Ask({"DownloadModelInstanceVersion", PrintJsonLine(body), path, ""}));
  const int status = KaggleStatus(answer);
  CKPT_TRY(std::optional<http::Url> target, RedirectTarget(*options_.engine, answer.url, answer));
  if (target) return *std::move(target);
  if (status < 300) return NotKaggle("to a download is no address of the storage");
  return Fail(ExplainKaggle(Question(file), status, answer.body));
}

}  // namespace ckpt
