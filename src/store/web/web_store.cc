#include "store/web/web_store.h"

#include <fmt/format.h>

#include <optional>
#include <utility>

#include "base/text.h"
#include "store/http/http_object.h"
#include "store/hub/empty_reader.h"
#include "store/hub/probe.h"
#include "store/hub/read_only_store.h"
#include "store/web/explain.h"

namespace ckpt {
namespace {

// "/a/b/" of "/a/b/file".
std::string FolderPath(const http::Url& url) {
  return url.path().substr(0, url.path().rfind('/') + 1);
}

// What holds a file to one version: a request header and its value; none where the server tells
// nothing. A weak ETag names bytes that are only alike, and If-Match never accepts it.
std::optional<http::Header> Precondition(const http::Headers& headers) {
  const std::string* tag = http::FindHeader(headers, "ETag");
  if (tag != nullptr && tag->starts_with('"')) return http::Header{"If-Match", *tag};
  const std::string* modified = http::FindHeader(headers, "Last-Modified");
  if (modified != nullptr) return http::Header{"If-Unmodified-Since", *modified};
  return std::nullopt;
}

constexpr char kBetween = '\n';  // no header has one

std::string PrintGeneration(uint64_t size_bytes, const std::optional<http::Header>& precondition) {
  std::string text = std::to_string(size_bytes);
  if (precondition) text += kBetween + precondition->name + kBetween + precondition->value;
  return text;
}

std::optional<http::Header> PreconditionOf(const Generation& generation) {
  const std::vector<std::string> parts = Split(generation.value, kBetween);
  if (parts.size() != 3) return std::nullopt;
  return http::Header{parts[1], parts[2]};
}

class WebStore final : public ReadOnlyStore {
 public:
  WebStore(std::shared_ptr<http::Engine> engine, http::Url url, Uri root, std::string name)
      : engine_(std::move(engine)),
        url_(std::move(url)),
        root_(std::move(root)),
        name_(std::move(name)) {}

  const Uri& root() const override { return root_; }

  Result<std::vector<ObjectInfo>> List(std::string_view prefix, std::stop_token /*stop*/) override {
    if (!prefix.empty()) {
      CKPT_TRY_VOID(SafeName(prefix));
      return std::vector<ObjectInfo>();
    }
    CKPT_TRY(ObjectInfo info, Stat(name_));
    return std::vector<ObjectInfo>{std::move(info)};
  }

  Result<ObjectInfo> Stat(std::string_view name) override {
    CKPT_TRY_VOID(SafeName(name));
    const http::Url url = UrlOf(name);
    CKPT_TRY(const Probe probe, AskFirstByte(*engine_, RequestOf(url)));
    if (!probe.has_ranges) return Fail(NoRanges(url));
    if (!probe.is_found()) {
      Error error = ExplainWeb(url, probe.response.status);
      // A signature for one file says 403 of all others: for us they are not there.
      if (error.code == Code::kDenied && name != name_) error.code = Code::kNotFound;
      return Fail(std::move(error));
    }
    if (probe.size_bytes == 0 && !probe.is_empty)
      return Fail({Code::kBadInput,
                   "the server does not tell the file's size",
                   {},
                   {{"address", Printable(url.Print())}},
                   "download the file, and name the folder that it is in"});
    const std::string generation =
        PrintGeneration(probe.size_bytes, Precondition(probe.response.headers));
    return ObjectInfo{std::string(name), probe.size_bytes, {generation}, 0, std::nullopt};
  }

  Result<std::unique_ptr<ObjectReader>> Open(const ObjectInfo& info) override {
    CKPT_TRY_VOID(SafeName(info.name));
    if (info.size_bytes == 0) return OpenEmptyObject(info, root_);
    http::ObjectRequest object;
    object.request = RequestOf(UrlOf(info.name));
    if (std::optional<http::Header> precondition = PreconditionOf(info.generation))
      object.request.headers.push_back(*std::move(precondition));
    object.explain = [url = object.request.url](const http::Response& response) {
      return ExplainWeb(url, response.status);
    };
    return http::OpenHttpObject(engine_, info, std::move(object), root_);
  }

 private:
  http::Url UrlOf(std::string_view name) const {
    if (name == name_) return url_;
    const http::Url url = url_.WithPath(FolderPath(url_) + http::PercentEncode(name, "/"));
    return url_.query().empty() ? url : url.WithQuery(url_.query().Reveal());
  }

  static http::Request RequestOf(const http::Url& url) {
    http::Request request;
    request.url = url;
    request.headers = {{"Accept-Encoding", "identity"}};
    return request;
  }

  const std::shared_ptr<http::Engine> engine_;
  const http::Url url_;
  const Uri root_;
  const std::string name_;
};

}  // namespace

Result<std::string> WebFileName(const http::Url& url) {
  const auto as_usage = [&](Error error) {
    error.code = Code::kUsage;
    error.where.push_back({"address", Printable(url.Print())});
    error.remedy = "name one file: https://host/folder/file";
    return error;
  };
  const std::string_view path = url.path();
  CKPT_TRY(std::string name,
           http::PercentDecode(path.substr(path.rfind('/') + 1)).map_error(as_usage));
  CKPT_TRY_VOID(SafeName(name).map_error(as_usage));
  // "a%2Fb" is one part of the path, and two of a name.
  if (name.find('/') != std::string::npos)
    return Fail(as_usage({Code::kUsage, "the file's name has a '/'", {}, {}, ""}));
  return name;
}

Result<std::unique_ptr<Store>> OpenWebStore(const http::Url& url,
                                            std::shared_ptr<http::Engine> engine) {
  CKPT_TRY(std::string name, WebFileName(url));
  std::string folder = url.Origin() + FolderPath(url);
  folder.pop_back();  // the last '/'
  CKPT_TRY(Uri root, Uri::Parse(folder));
  auto store = std::make_unique<WebStore>(std::move(engine), url, std::move(root), name);
  CKPT_TRY_VOID(store->Stat(name));
  return store;
}

}  // namespace ckpt
