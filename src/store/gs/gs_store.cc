#include "store/gs/gs_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include "base/check.h"
#include "base/random.h"
#include "base/text.h"
#include "store/gs/client.h"
#include "store/gs/object_writer.h"
#include "store/gs/positioned_writer.h"
#include "store/gs/remove_objects.h"
#include "store/gs/scratch.h"
#include "store/gs/session.h"
#include "store/gs/small_upload.h"
#include "store/gs/upload_list.h"
#include "store/http/http_object.h"

namespace ckpt {
namespace {

constexpr std::string_view kEndpoint = "https://storage.googleapis.com";
constexpr std::string_view kTemporary = ".ckpt-tmp";
constexpr size_t kMostNameBytes = 1024;  // of an object, in UTF-8
constexpr uint64_t kChunkUnit = 256 << 10;
constexpr int kRemovals = 5;  // of one object that comes back
constexpr int kReads = 3;     // of one that arrives damaged

// The CRC-32C of an answer's whole object: the service tells it in the first x-goog-hash.
std::optional<uint32_t> HashIn(const http::Headers& headers) {
  constexpr std::string_view kind = "crc32c=";
  const std::string* hashes = http::FindHeader(headers, "x-goog-hash");
  const size_t at = hashes == nullptr ? std::string::npos : hashes->find(kind);
  if (at == std::string::npos) return std::nullopt;
  const std::string_view value = std::string_view(*hashes).substr(at + kind.size());
  return gs::ParseCrc32c(value.substr(0, value.find_first_of(", ")));
}

class GsStore final : public Store {
 public:
  GsStore(Uri root, std::string prefix, GsOptions options)
      : root_(std::move(root)),
        prefix_(std::move(prefix)),
        client_(root_.authority(), std::move(options)) {}

  const Uri& root() const override { return root_; }

  Result<std::vector<ObjectInfo>> List(std::string_view prefix, std::stop_token stop) override {
    CKPT_TRY(std::vector<gs::ObjectMeta> objects, ListBelow(prefix, stop));
    std::vector<ObjectInfo> infos;
    infos.reserve(objects.size());
    const std::string unfinished = PrefixOf(kTemporary);
    for (const gs::ObjectMeta& object : objects) {
      // A name that ends in '/' only makes a folder visible. Unfinished objects are none.
      if (object.name.ends_with('/') || object.name.starts_with(unfinished)) continue;
      infos.push_back(gs::InfoOf(object, object.name.substr(prefix_.size())));
    }
    std::sort(infos.begin(), infos.end(),
              [](const ObjectInfo& a, const ObjectInfo& b) { return a.name < b.name; });
    return infos;
  }

  Result<ObjectInfo> Stat(std::string_view name) override {
    CKPT_TRY(const gs::ObjectMeta meta, Get(name));
    return gs::InfoOf(meta, std::string(name));
  }

  Result<std::unique_ptr<ObjectReader>> Open(const ObjectInfo& info) override {
    CKPT_TRY(const gs::ObjectMeta meta, Get(info.name));
    CKPT_TRY_VOID(CheckReadable(meta, info).map_error(client_.At(meta.name)));
    http::ObjectRequest request;
    request.request = client_.Json(
        "GET", "/" + http::PercentEncode(meta.name),
        fmt::format("alt=media&generation={}", http::PercentEncode(info.generation.value)));
    // Else the service would unpack objects that are stored compressed, and ignore ranges.
    request.request.headers.push_back({"Accept-Encoding", "gzip"});
    request.explain = [this](const http::Response& response) {
      if (response.status == 404) return Changed();
      return client_.ExplainAtOnce(response, gs::kGetObjects);
    };
    return http::OpenHttpObject(client_.options().engine, gs::InfoOf(meta, info.name),
                                std::move(request), root_);
  }

  // In one request. What is too large, or packed, the other way has the words for.
  Result<std::string> ReadWhole(std::string_view name, uint64_t limit_bytes) override {
    CKPT_TRY(const std::string object, Object(name));
    http::Request request = client_.Json("GET", "/" + http::PercentEncode(object), "alt=media");
    request.headers.push_back({"Accept-Encoding", "gzip"});
    request.body_limit_bytes = limit_bytes;
    // What was damaged on its way is asked for again.
    for (int i = 0; i < kReads; ++i) {
      Result<http::Response> response = client_.Send(request).map_error(client_.At(object));
      if (!response && response.error().code != Code::kBadInput)
        return Fail(std::move(response).error());
      if (!response || http::FindHeader(response->headers, "content-encoding") != nullptr)
        return Store::ReadWhole(name, limit_bytes);
      if (response->status != 200) {
        return Result<std::string>(Fail(response->status == 404
                                            ? NotFound()
                                            : client_.Explain(*response, gs::kGetObjects)))
            .map_error(client_.At(object));
      }
      const std::optional<uint32_t> told = HashIn(response->headers);
      if (!told || Crc32c::Of(std::as_bytes(std::span(response->body))).value() == *told)
        return std::move(response->body);
    }
    return Result<std::string>(Fail(Code::kIo, "arrived with other bytes than it has",
                                    "run again; if it stays so, the network is faulty"))
        .map_error(client_.At(object));
  }

  Result<std::unique_ptr<ObjectWriter>> Create(std::string_view name,
                                               CreateOptions options) override {
    CKPT_TRY(std::string object, Object(name));
    return gs::MakeObjectWriter(client_, std::move(object), std::string(name),
                                options.is_create_only);
  }

  Result<std::unique_ptr<PositionedWriter>> CreatePositioned(std::string_view name,
                                                             uint64_t size_bytes,
                                                             CreateOptions options) override {
    CKPT_TRY(std::string object, Object(name));
    if (options.is_create_only) CKPT_TRY_VOID(gs::CheckNew(client_, object));
    return gs::MakePositionedWriter(client_, std::move(object), std::string(name),
                                    Whole(kTemporary), size_bytes, options);
  }

  Result<void> Remove(std::string_view name) override {
    CKPT_TRY(const std::string object, Object(name));
    // Another program may put a new generation in its place: then that one goes too.
    for (int i = 0; i < kRemovals; ++i) {
      CKPT_TRY(const auto found, client_.Find(object));
      if (!found) return {};
      CKPT_TRY(const bool was_there, client_.Delete(object, found->generation));
      if (was_there) return {};
    }
    return Result<void>(Fail(Code::kIo, "comes back each time it is removed",
                             "let one program at a time write this output"))
        .map_error(client_.At(object));
  }

  Result<void> RemoveAll(std::string_view folder) override {
    CKPT_TRY(std::vector<gs::ObjectMeta> objects, ListBelow(folder, {}));
    return gs::RemoveObjects(client_, std::move(objects));
  }

  Result<void> DropUnfinished(std::string_view name, std::string_view session) override {
    if (session.empty()) return {};  // an object that fits in one request
    CKPT_TRY(const std::string object, Object(name));
    CKPT_TRY(const gs::Session parsed, gs::ParseSession(session).map_error(client_.At(object)));
    return Drop(object, parsed);
  }

  Result<size_t> DropUnfinishedBelow(std::string_view folder) override {
    if (!folder.empty()) CKPT_TRY_VOID(SafeName(folder));
    size_t count = 0;
    const std::string prefix = PrefixOf(folder);
    Result<std::vector<gs::UnfinishedUpload>> uploads =
        gs::ListUploads(client_, folder.empty() ? prefix : Whole(folder));
    if (uploads) {
      for (gs::UnfinishedUpload& upload : *uploads) {
        if (upload.object != Whole(folder) && !upload.object.starts_with(prefix)) continue;
        CKPT_TRY_VOID(Drop(upload.object, {false, std::move(upload.upload_id)}));
        ++count;
      }
    } else {
      if (uploads.error().code != Code::kDenied) return Fail(std::move(uploads).error());
      client_.Warn(
          uploads.error().what +
          ": unfinished uploads, where there are any, stay and cost until a lifecycle rule "
          "AbortIncompleteMultipartUpload ends them");
    }
    if (!folder.empty()) return count;
    CKPT_TRY(const size_t others, DropTemporary());
    return count + others;
  }

 private:
  // The name in the bucket. `name` is checked already.
  std::string Whole(std::string_view name) const { return prefix_ + std::string(name); }

  Result<std::string> Object(std::string_view name) const {
    CKPT_TRY_VOID(SafeName(name));
    std::string object = Whole(name);
    if (object.size() > kMostNameBytes)
      return Result<std::string>(
                 Fail(Code::kBadInput,
                      fmt::format("a name of {} bytes, at most {} are possible in a bucket",
                                  object.size(), kMostNameBytes),
                      "use a shorter folder"))
          .map_error(client_.At(object));
    return object;
  }

  Result<gs::ObjectMeta> Get(std::string_view name) {
    CKPT_TRY(const std::string object, Object(name));
    CKPT_TRY(auto found, client_.Find(object));
    if (!found) return Result<gs::ObjectMeta>(Fail(NotFound())).map_error(client_.At(object));
    return *std::move(found);
  }

  Result<void> Drop(const std::string& object, const gs::Session& session) {
    // The upload first: without it, what lies in its folder is of no use to anybody.
    if (!session.is_composed) CKPT_TRY_VOID(gs::AbortUpload(client_, {object, session.id}));
    return gs::Scratch(client_, Whole(kTemporary), session).Clear();
  }

  // What parts and probes left, counted by what they were left by.
  Result<size_t> DropTemporary() {
    const std::string prefix = PrefixOf(kTemporary);
    CKPT_TRY(std::vector<gs::ObjectMeta> objects, client_.ListAll(prefix, client_.stop()));
    std::set<std::string> first_parts;
    for (const gs::ObjectMeta& object : objects)
      first_parts.insert(object.name.substr(0, object.name.find('/', prefix.size())));
    CKPT_TRY_VOID(gs::RemoveObjects(client_, std::move(objects)));
    return first_parts.size();
  }

  static Error NotFound() { return {Code::kNotFound, "no such object", {}, {}, "check the name"}; }

  static Error Changed() {
    return {Code::kBadInput,
            "the object was changed while it was read",
            {},
            {},
            "run again when no other program writes to this place"};
  }

  static Result<void> CheckReadable(const gs::ObjectMeta& meta, const ObjectInfo& info) {
    if (meta.generation != info.generation.value) return Fail(Changed());
    if (meta.content_encoding.find("gzip") != std::string::npos)
      return Fail(Code::kBadInput, "is stored with gzip encoding, which has no ranges",
                  "upload it again without -z, -Z or -j");
    return {};
  }

  Result<std::vector<gs::ObjectMeta>> ListBelow(std::string_view folder,
                                                const std::stop_token& stop) {
    if (!folder.empty()) CKPT_TRY_VOID(SafeName(folder));
    return client_.ListAll(PrefixOf(folder), stop);
  }

  // Of the objects below a folder.
  std::string PrefixOf(std::string_view folder) const {
    return Whole(folder) + (folder.empty() ? "" : "/");
  }

  const Uri root_;
  const std::string prefix_;  // "" or with '/' at its end
  gs::Client client_;
};

}  // namespace

Result<std::unique_ptr<Store>> OpenGsStore(Uri root, GsOptions options) {
  CKPT_CHECK(options.engine != nullptr);
  if (root.scheme() != "gs" || root.authority().empty())
    return Fail(Code::kUsage, fmt::format("\"{}\" names no bucket", root.Print()),
                "write gs://BUCKET/FOLDER");
  if (options.endpoint.host().empty()) {
    CKPT_TRY(options.endpoint, http::Url::Parse(kEndpoint));
  }
  if (options.authorizer && options.endpoint.scheme() != "https" && !options.endpoint.IsLoopback())
    return Fail(Code::kUsage,
                fmt::format("credentials would be sent to {} without encryption",
                            options.endpoint.Origin()),
                "use https, or no credentials with an emulator");
  options.chunk_bytes = std::max<uint64_t>(1, options.chunk_bytes / kChunkUnit) * kChunkUnit;
  std::string prefix = root.path();
  while (prefix.ends_with('/')) prefix.pop_back();
  if (!prefix.empty()) prefix += '/';
  return std::make_unique<GsStore>(std::move(root), std::move(prefix), std::move(options));
}

Result<void> ProbeWritable(Store& store) {
  const std::string name = fmt::format("{}/probe-{:016x}", kTemporary, RandomBits());
  CKPT_TRY_VOID(WriteSmallObject(store, name, "ckpt", {}));
  return store.Remove(name);
}

}  // namespace ckpt
