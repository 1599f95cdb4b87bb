#include "store/kaggle/kaggle_store.h"

#include <fmt/format.h>

#include <map>
#include <optional>
#include <utility>

#include "base/text.h"
#include "store/file/file_store.h"
#include "store/hub/empty_reader.h"
#include "store/hub/read_only_store.h"
#include "store/kaggle/api.h"
#include "store/kaggle/cache.h"
#include "store/kaggle/signed_file.h"
#include "store/kaggle/unpacked_store.h"

namespace ckpt {
namespace {

using KaggleInfos = std::map<std::string, ObjectInfo, std::less<>>;

class KaggleStore final : public ReadOnlyStore {
 public:
  KaggleStore(std::shared_ptr<const KaggleApi> api, Uri root, KaggleInfos infos)
      : api_(std::move(api)), root_(std::move(root)), infos_(std::move(infos)) {}

  const Uri& root() const override { return root_; }

  Result<std::vector<ObjectInfo>> List(std::string_view prefix, std::stop_token /*stop*/) override {
    if (!prefix.empty()) CKPT_TRY_VOID(SafeName(prefix));
    const std::string folder = prefix.empty() ? "" : std::string(prefix) + "/";
    std::vector<ObjectInfo> infos;
    for (auto info = infos_.lower_bound(folder);
         info != infos_.end() && info->first.starts_with(folder); ++info)
      infos.push_back(info->second);
    return infos;
  }

  Result<ObjectInfo> Stat(std::string_view name) override {
    CKPT_TRY_VOID(SafeName(name));
    const auto found = infos_.find(name);
    if (found != infos_.end()) return found->second;
    std::vector<std::string> known;
    for (const auto& [other, info] : infos_) known.push_back(Printable(other));
    return Fail({Code::kNotFound,
                 fmt::format("no such file in {}", api_->handle().Print()),
                 {},
                 {{"file", Printable(root_.PrintBelow(name))}},
                 "there are: " + ListSome(known, 20)});
  }

  Result<std::unique_ptr<ObjectReader>> Open(const ObjectInfo& info) override {
    CKPT_TRY(ObjectInfo now, Stat(info.name));
    if (now.generation != info.generation)
      return Fail({Code::kBadInput,
                   "the file is another one than was listed",
                   {},
                   {{"file", Printable(root_.PrintBelow(info.name))}},
                   "run again, with one version"});
    if (now.size_bytes == 0) return OpenEmptyObject(std::move(now), root_);
    return OpenKaggleFile(api_, std::move(now), root_);
  }

 private:
  const std::shared_ptr<const KaggleApi> api_;
  const Uri root_;
  const KaggleInfos infos_;
};

}  // namespace

Result<std::unique_ptr<Store>> OpenKaggleStore(const KaggleHandle& handle, KaggleOptions options) {
  const std::string cache_folder = options.cache_folder;
  const auto api = std::make_shared<KaggleApi>(std::move(options), handle);
  // A version never changes, so that a cached one needs no question; what the newest is does.
  if (handle.version == 0) CKPT_TRY_VOID(api->ResolveVersion());
  if (const std::optional<std::string> folder = FindInKaggleCache(cache_folder, api->handle())) {
    CKPT_TRY(Uri root, Uri::Parse(*folder));
    return OpenFileStore(std::move(root));
  }
  CKPT_TRY(Uri root, Uri::Parse("kaggle://" + api->handle().Print()));
  CKPT_TRY(const KaggleListing listing, api->Files(api->options().engine->options().stop));
  if (listing.is_archive) return OpenUnpackedKaggle(api, std::move(root));
  KaggleInfos infos;
  for (const KaggleFile& file : listing.files) {
    const Generation generation{
        fmt::format("{} {} {}", api->handle().version, file.size_bytes, file.created)};
    infos.emplace(file.name, ObjectInfo{file.name, file.size_bytes, generation, 0, std::nullopt});
  }
  return std::make_unique<KaggleStore>(api, std::move(root), std::move(infos));
}

}  // namespace ckpt
