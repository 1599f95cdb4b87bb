#include "store/hf/hf_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <optional>
#include <utility>

#include "base/text.h"
#include "store/file/file_store.h"
#include "store/hf/api.h"
#include "store/hf/cache.h"
#include "store/hf/reader.h"
#include "store/hub/empty_reader.h"
#include "store/hub/read_only_store.h"

namespace ckpt {
namespace {

using HfFiles = std::map<std::string, HfFile, std::less<>>;  // by name below the root

std::string_view FolderOf(std::string_view path) {
  const size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? std::string_view() : path.substr(0, slash);
}

class HfStore final : public ReadOnlyStore {
 public:
  HfStore(std::shared_ptr<const HfApi> api, std::string commit, Uri root, HfFiles files,
          std::optional<HfSnapshot> snapshot, std::unique_ptr<Store> cache)
      : api_(std::move(api)),
        commit_(std::move(commit)),
        root_(std::move(root)),
        files_(std::move(files)),
        snapshot_(std::move(snapshot)),
        cache_(std::move(cache)) {}

  const Uri& root() const override { return root_; }

  Result<std::vector<ObjectInfo>> List(std::string_view prefix, std::stop_token /*stop*/) override {
    if (!prefix.empty()) CKPT_TRY_VOID(SafeName(prefix));
    const std::string folder = prefix.empty() ? "" : std::string(prefix) + "/";
    std::vector<ObjectInfo> infos;
    for (auto file = files_.lower_bound(folder);
         file != files_.end() && file->first.starts_with(folder); ++file)
      infos.push_back(InfoOf(file->first, file->second));
    return infos;
  }

  Result<ObjectInfo> Stat(std::string_view name) override {
    CKPT_TRY_VOID(SafeName(name));
    const auto found = files_.find(name);
    if (found != files_.end()) return InfoOf(found->first, found->second);
    HfQuestion question = api_->Question();
    question.file = name;
    for (const auto& [known, file] : files_) question.known.push_back(known);
    return Fail(ExplainHf(question, 404, {{"X-Error-Code", "EntryNotFound"}}, ""));
  }

  Result<std::unique_ptr<ObjectReader>> Open(const ObjectInfo& info) override {
    CKPT_TRY(const ObjectInfo now, Stat(info.name));
    if (now.generation != info.generation || now.size_bytes != info.size_bytes)
      return Fail({Code::kBadInput,
                   "the file is another one than was listed",
                   {},
                   {{"file", Printable(root_.PrintBelow(info.name))}},
                   "run again, with one revision"});
    const HfFile& file = files_.find(info.name)->second;
    if (file.size_bytes == 0) return OpenEmptyObject(now, root_);
    if (cache_ && HasInCache(*snapshot_, file)) {
      CKPT_TRY(const ObjectInfo cached, cache_->Stat(file.path));
      CKPT_TRY(std::unique_ptr<ObjectReader> reader, cache_->Open(cached));
      return OpenCachedHfFile(std::move(reader), file, now, root_);
    }
    return OpenHfFile(api_, commit_, file, now, root_);
  }

 private:
  ObjectInfo InfoOf(const std::string& name, const HfFile& file) const {
    return {name, file.size_bytes, {commit_ + " " + file.digest()}, 0, std::nullopt};
  }

  const std::shared_ptr<const HfApi> api_;
  const std::string commit_;
  const Uri root_;
  const HfFiles files_;
  const std::optional<HfSnapshot> snapshot_;
  const std::unique_ptr<Store> cache_;  // of the snapshot; null where there is none
};

Result<std::unique_ptr<Store>> OpenOffline(const HfPlace& place, const HfOptions& options) {
  CKPT_TRY(const std::optional<HfSnapshot> snapshot, FindInCache(options.cache_folder, place, {}));
  if (!snapshot)
    return Fail({Code::kNotFound,
                 fmt::format("{} is not in the local cache, and nothing may be fetched (offline)",
                             place.Print()),
                 {},
                 {{"folder", Printable(options.cache_folder)}},
                 fmt::format("run `hf download {}` where there is a network, or leave out the "
                             "offline mode",
                             place.repo)});
  CKPT_TRY(Uri root, Uri::Parse(Below(snapshot->folder, place.folder)));
  return OpenFileStore(std::move(root));
}

// The files below `folder`, by their names there; `folder` becomes the parent of the one file that
// it names.
Result<HfFiles> FilesBelow(std::vector<HfFile> all, std::string& folder, const HfApi& api) {
  const std::string prefix = folder.empty() ? "" : folder + "/";
  std::vector<std::string> known;
  HfFiles files;
  for (HfFile& file : all) {
    known.push_back(file.path);
    if (!folder.empty() && file.path == folder) {
      folder = std::string(FolderOf(file.path));
      const std::string name = file.path.substr(folder.empty() ? 0 : folder.size() + 1);
      return HfFiles{{name, std::move(file)}};
    }
    if (!file.path.starts_with(prefix)) continue;
    std::string name = file.path.substr(prefix.size());
    files.emplace(std::move(name), std::move(file));
  }
  if (!files.empty()) return files;
  HfQuestion question = api.Question();
  question.file = folder;
  question.known = std::move(known);
  return Fail(ExplainHf(question, 404, {{"X-Error-Code", "EntryNotFound"}}, ""));
}

}  // namespace

Result<std::unique_ptr<Store>> OpenHfStore(HfPlace place, HfOptions options) {
  if (options.is_offline) return OpenOffline(place, options);
  const std::string cache_folder = options.cache_folder;
  const auto api = std::make_shared<HfApi>(std::move(options), place);
  CKPT_TRY(const std::string commit, api->ResolveRevision());
  CKPT_TRY(std::vector<HfFile> all, api->Tree(commit, api->options().engine->options().stop));
  CKPT_TRY(HfFiles files, FilesBelow(std::move(all), place.folder, *api));

  place.revision = commit;
  CKPT_TRY(std::optional<HfSnapshot> snapshot, FindInCache(cache_folder, place, {}));
  std::unique_ptr<Store> cache;
  if (snapshot) {
    CKPT_TRY(Uri folder, Uri::Parse(snapshot->folder));
    CKPT_TRY(cache, OpenFileStore(std::move(folder)));
  }
  // A repository without an owner would stand where an address has the user: its commit is left
  // out.
  const bool has_owner = place.repo.find('/') != std::string::npos;
  CKPT_TRY(Uri root,
           Uri::Parse(has_owner ? place.Print() : Below("hf://" + place.repo, place.folder)));
  return std::make_unique<HfStore>(api, commit, std::move(root), std::move(files),
                                   std::move(snapshot), std::move(cache));
}

}  // namespace ckpt
