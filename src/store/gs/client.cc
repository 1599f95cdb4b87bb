#include "store/gs/client.h"

#include <fmt/format.h>

#include <limits>
#include <utility>

#include "base/text.h"
#include "store/gs/backoff.h"

namespace ckpt::gs {
namespace {

constexpr int kMostRepeats = 100;  // a page may be empty and say "go on here" again

}  // namespace

Client::Client(std::string bucket, GsOptions options)
    : bucket_(std::move(bucket)),
      options_(std::move(options)),
      own_budget_(std::numeric_limits<uint64_t>::max()),
      base_(options_.endpoint.path()) {
  if (options_.budget == nullptr) options_.budget = &own_budget_;
  while (base_.ends_with('/')) base_.pop_back();
}

void Client::Warn(std::string_view text) const {
  if (options_.warn) options_.warn(text);
}

http::Request Client::Make(std::string method, std::string path, std::string query) const {
  http::Request request;
  request.method = std::move(method);
  request.url = options_.endpoint.WithPath(base_ + std::move(path));
  if (!query.empty()) request.url = request.url.WithQuery(std::move(query));
  request.authorizer = options_.authorizer;
  if (!options_.user_project.empty())
    request.headers.push_back({"x-goog-user-project", options_.user_project});
  return request;
}

http::Request Client::Json(std::string method, std::string_view rest, std::string query) const {
  return Make(std::move(method),
              fmt::format("/storage/v1/b/{}/o{}", http::PercentEncode(bucket_), rest),
              std::move(query));
}

http::Request Client::Upload(std::string query) const {
  return Make("POST", fmt::format("/upload/storage/v1/b/{}/o", http::PercentEncode(bucket_)),
              std::move(query));
}

http::Request Client::Xml(std::string method, std::string_view object, std::string query) const {
  return Make(std::move(method),
              fmt::format("/{}/{}", http::PercentEncode(bucket_), http::PercentEncode(object, "/")),
              std::move(query));
}

Result<http::Response> Client::Send(const http::Request& request) {
  Backoff backoff(options_.engine->options());
  while (true) {
    Result<http::Response> response = options_.engine->Send(request);
    if (!response || !IsRateLimit(*response) || !backoff.Wait()) return response;
  }
}

Error Client::Explain(const http::Response& response, const Deed& deed) {
  // Asking who we are may cost a request: only where the message names it.
  if (response.status == 403 && options_.principal) {
    std::string principal = options_.principal();
    const std::lock_guard lock(mutex_);
    principal_ = std::move(principal);
  }
  return ExplainAtOnce(response, deed);
}

Error Client::ExplainAtOnce(const http::Response& response, const Deed& deed) const {
  Asker asker{bucket_, "", options_.authorizer == nullptr};
  {
    const std::lock_guard lock(mutex_);
    asker.principal = principal_.value_or("");
  }
  return ExplainStatus(response, deed, asker);
}

Result<std::optional<ObjectMeta>> Client::Find(std::string_view object) {
  CKPT_TRY(const http::Response response, Send(Json("GET", "/" + http::PercentEncode(object),
                                                    "fields=" + http::PercentEncode(kObjectFields)))
                                              .map_error(At(object)));
  if (response.status == 404) return std::optional<ObjectMeta>();
  if (response.status != 200)
    return Result<std::optional<ObjectMeta>>(Fail(Explain(response, kGetObjects)))
        .map_error(At(object));
  CKPT_TRY(ObjectMeta meta, ParseObject(response.body).map_error(At(object)));
  return std::optional(std::move(meta));
}

Result<ListPage> Client::List(std::string_view prefix, std::string_view page_token) {
  std::string query = fmt::format("prefix={}&maxResults=1000&fields={}",
                                  http::PercentEncode(prefix), http::PercentEncode(kListFields));
  if (!page_token.empty()) query += "&pageToken=" + http::PercentEncode(page_token);
  CKPT_TRY(const http::Response response,
           Send(Json("GET", "", std::move(query))).map_error(At(prefix)));
  if (response.status != 200)
    return Result<ListPage>(Fail(Explain(response, kListObjects))).map_error(At(prefix));
  return ParseListPage(response.body).map_error(At(prefix));
}

Result<std::vector<ObjectMeta>> Client::ListAll(std::string_view prefix,
                                                const std::stop_token& stop) {
  std::vector<ObjectMeta> objects;
  std::string token;
  int repeats = 0;
  do {
    if (stop.stop_requested()) return Fail(Code::kInterrupted, "stopped");
    CKPT_TRY(ListPage page, List(prefix, token));
    for (ObjectMeta& object : page.objects) {
      if (object.name.starts_with(prefix)) objects.push_back(std::move(object));
    }
    repeats = page.next_page_token == token ? repeats + 1 : 0;
    if (repeats == kMostRepeats)
      return Fail(Code::kUnavailable, "the list of objects does not end", "try again later");
    token = std::move(page.next_page_token);
  } while (!token.empty());
  return objects;
}

http::Request Client::DeleteRequest(std::string_view object, std::string_view generation) const {
  return Json("DELETE", "/" + http::PercentEncode(object),
              generation.empty() ? "" : fmt::format("ifGenerationMatch={}", generation));
}

Result<bool> Client::Delete(std::string_view object, std::string_view generation) {
  CKPT_TRY(const http::Response response,
           Send(DeleteRequest(object, generation)).map_error(At(object)));
  if (response.status / 100 == 2) return true;
  if (response.status == 404 || response.status == 412) return false;
  return Result<bool>(Fail(Explain(response, kDeleteObjects))).map_error(At(object));
}

std::string Client::Print(std::string_view object) const {
  return Printable(fmt::format("gs://{}/{}", bucket_, object));
}

std::function<Error(Error)> Client::At(std::string_view object) const {
  return Where("file", Print(object));
}

}  // namespace ckpt::gs
