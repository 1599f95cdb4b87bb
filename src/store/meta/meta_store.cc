#include "store/meta/meta_store.h"

#include <fmt/format.h>

#include <map>
#include <optional>
#include <utility>

#include "base/checked.h"
#include "base/text.h"
#include "base/units.h"
#include "store/hub/empty_reader.h"
#include "store/hub/probe.h"
#include "store/hub/read_only_store.h"
#include "store/meta/checklist.h"
#include "store/meta/explain.h"

namespace ckpt {
namespace {

constexpr std::string_view kChecklist = "checklist.chk";
constexpr std::string_view kTokenizer = "tokenizer.model";
constexpr std::string_view kParams = "params.json";
constexpr uint64_t kMostChecklistBytes = kMiB;
constexpr size_t kMostFiles = 1000;

struct MetaFile {
  ObjectInfo info;
  SequentialObject object;
};
using MetaFiles = std::map<std::string, MetaFile, std::less<>>;

class MetaStore final : public ReadOnlyStore {
 public:
  MetaStore(Uri root, MetaFiles files, MetaOptions options)
      : root_(std::move(root)), files_(std::move(files)), options_(std::move(options)) {}

  const Uri& root() const override { return root_; }

  /// A window and libcurl's buffer for each stream.
  uint64_t held_bytes() const override {
    constexpr uint64_t connection_bytes = 1 << 20;
    return files_.size() * (options_.reading.window_bytes + connection_bytes);
  }

  Result<std::vector<ObjectInfo>> List(std::string_view prefix, std::stop_token /*stop*/) override {
    if (!prefix.empty()) CKPT_TRY_VOID(SafeName(prefix));
    std::vector<ObjectInfo> infos;
    for (const auto& [name, file] : files_) {
      if (prefix.empty() || name.starts_with(std::string(prefix) + "/")) infos.push_back(file.info);
    }
    return infos;
  }

  Result<ObjectInfo> Stat(std::string_view name) override {
    CKPT_TRY_VOID(SafeName(name));
    const auto found = files_.find(name);
    if (found != files_.end()) return found->second.info;
    std::vector<std::string> known;
    for (const auto& [other, file] : files_) known.push_back(Printable(other));
    return Fail({Code::kNotFound,
                 "no such file behind Meta's link",
                 {},
                 {{"file", Printable(root_.PrintBelow(name))}},
                 "there are: " + ListSome(known)});
  }

  Result<std::unique_ptr<ObjectReader>> Open(const ObjectInfo& info) override {
    CKPT_TRY(const ObjectInfo now, Stat(info.name));
    if (now.generation != info.generation)
      return Fail({Code::kBadInput,
                   "the file is another one than was listed",
                   {},
                   {{"file", Printable(root_.PrintBelow(info.name))}},
                   "run again, with one link"});
    if (now.size_bytes == 0) return OpenEmptyObject(now, root_);
    return OpenSequentialObject(options_.engine, now, files_.find(info.name)->second.object, root_,
                                options_.reading, options_.counts);
  }

 private:
  const Uri root_;
  const MetaFiles files_;
  const MetaOptions options_;
};

/// The requests that a listing is made of.
class MetaListing {
 public:
  MetaListing(const MetaLink& link, const MetaFolder& folder, http::Engine& engine)
      : link_(link), folder_(folder), engine_(engine) {}

  // The file's size and version; nothing where the server does not give it.
  Result<std::optional<MetaFile>> Find(const std::string& name, bool is_needed) const {
    MetaFile file;
    file.object.url = UrlOf(name);
    http::Request request;
    request.url = file.object.url;
    CKPT_TRY(const Probe probe, AskFirstByte(engine_, std::move(request)));
    if (!probe.has_ranges)
      return Fail({Code::kBadInput,
                   "the server behind the link sends no ranges",
                   {},
                   {{"address", Printable(file.object.url.Print())}},
                   "check proxies on the way"});
    if (!probe.is_found()) {
      if (!is_needed && probe.response.status == 403) return std::optional<MetaFile>();
      return Fail(ExplainMeta(file.object.url, probe.response.status));
    }
    if (const std::string* etag = http::FindHeader(probe.response.headers, "ETag"))
      file.object.etag = *etag;
    file.info = {name,
                 probe.size_bytes,
                 {fmt::format("{} {}", probe.size_bytes, file.object.etag)},
                 0,
                 std::nullopt};
    return std::optional(std::move(file));
  }

  Result<std::map<std::string, std::string>> Checklist(const MetaFile& file) const {
    const uint64_t size = file.info.size_bytes;
    if (size > kMostChecklistBytes)
      return Fail(Code::kBadInput, fmt::format("checklist.chk has {}", FormatBytes(size)),
                  "not a checklist: check the model id");
    std::string text(size, '\0');
    if (size > 0) {
      http::Request request;
      request.url = file.object.url;
      request.range = ByteRange{0, size};
      request.into = std::as_writable_bytes(std::span(text));
      request.total_bytes = size;
      CKPT_TRY(const http::Response response, engine_.Send(std::move(request)));
      if (response.status != 206 && response.status != 200)
        return Fail(ExplainMeta(file.object.url, response.status));
    }
    CKPT_TRY(auto sums, ParseChecklist(text).map_error(Where("file", std::string(kChecklist))));
    if (sums.size() > kMostFiles)
      return Fail(Code::kBadInput, fmt::format("checklist.chk names {} files", sums.size()),
                  "not a checklist: check the model id");
    return sums;
  }

 private:
  http::Url UrlOf(std::string_view name) const {
    const bool is_in_root = folder_.has_root_tokenizer && name == kTokenizer;
    return link_.Of(is_in_root ? std::string(name) : Below(folder_.folder, name));
  }

  const MetaLink& link_;
  const MetaFolder& folder_;
  http::Engine& engine_;
};

}  // namespace

Result<std::unique_ptr<Store>> OpenMetaStore(const MetaLink& link, const MetaFolder& folder,
                                             MetaOptions options) {
  CKPT_TRY_VOID(link.CheckAlive(options.now));
  CKPT_TRY(Uri root, Uri::Parse(link.Origin() + "/" + folder.folder));
  const MetaListing listing(link, folder, *options.engine);
  MetaFiles files;
  CKPT_TRY(std::optional<MetaFile> list, listing.Find(std::string(kChecklist), true));
  CKPT_TRY(auto sums, listing.Checklist(*list));
  files.emplace(kChecklist, *std::move(list));
  const auto named = sums;
  sums.emplace(kParams, "");
  sums.emplace(kTokenizer, "");
  sums.erase(std::string(kChecklist));
  for (const auto& [name, md5] : sums) {
    CKPT_TRY(std::optional<MetaFile> file, listing.Find(name, named.contains(name)));
    if (!file) continue;
    file->object.md5 = md5;
    files.emplace(name, *std::move(file));
  }
  return std::make_unique<MetaStore>(std::move(root), std::move(files), std::move(options));
}

uint64_t LongGetsOf(uint64_t size_bytes, const SequentialOptions& options) {
  return CeilDiv(size_bytes, options.most_get_bytes);
}

}  // namespace ckpt
