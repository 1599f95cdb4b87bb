#include "store/kaggle/unpacked_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/text.h"
#include "base/units.h"
#include "store/archive/scratch_folder.h"
#include "store/archive/unpack.h"
#include "store/hub/read_only_store.h"
#include "store/kaggle/explain.h"
#include "store/kaggle/signed_file.h"

namespace ckpt {
namespace {

constexpr uint64_t kMostRatio = 20;
constexpr uint64_t kLeastCap = kGiB;

class UnpackedStore final : public ReadOnlyStore {
 public:
  UnpackedStore(Uri root, std::string mark, std::unique_ptr<ScratchFolder> folder)
      : root_(std::move(root)), mark_(std::move(mark)), folder_(std::move(folder)) {}

  const Uri& root() const override { return root_; }
  uint64_t held_bytes() const override { return folder_->files().held_bytes(); }

  Result<std::vector<ObjectInfo>> List(std::string_view prefix, std::stop_token stop) override {
    CKPT_TRY(std::vector<ObjectInfo> infos, folder_->files().List(prefix, std::move(stop)));
    for (ObjectInfo& info : infos) info = Shown(std::move(info));
    return infos;
  }

  Result<ObjectInfo> Stat(std::string_view name) override {
    CKPT_TRY(ObjectInfo info, folder_->files().Stat(name));
    return Shown(std::move(info));
  }

  Result<std::unique_ptr<ObjectReader>> Open(const ObjectInfo& info) override {
    CKPT_TRY(ObjectInfo now, folder_->files().Stat(info.name));
    if (Shown(now).generation != info.generation)
      return Fail({Code::kBadInput,
                   "the file is another one than was listed",
                   {},
                   {{"file", Printable(root_.PrintBelow(info.name))}},
                   "run again, with one version"});
    return folder_->files().Open(now);
  }

 private:
  // When and where it was unpacked is no property of the model.
  ObjectInfo Shown(ObjectInfo info) const {
    info.generation = {fmt::format("{} {}", mark_, info.size_bytes)};
    info.modified_ns = 0;
    return info;
  }

  const Uri root_;
  const std::string mark_;
  const std::unique_ptr<ScratchFolder> folder_;
};

std::string Hex(std::string_view bytes) {
  std::string hex;
  for (const char byte : bytes) hex += fmt::format("{:02x}", static_cast<unsigned char>(byte));
  return hex;
}

// What tells one archive from another.
std::string MarkOf(const KaggleApi& api, const KaggleArchive& archive) {
  const ObjectInfo& info = archive.reader->info();
  std::string mark = fmt::format("{} archive {}", api.handle().version, info.size_bytes);
  if (info.crc32c) mark += fmt::format(" crc32c {:08x}", info.crc32c->value());
  if (!archive.md5.empty()) mark += " md5 " + Hex(archive.md5);
  return mark;
}

Result<void> Fill(ScratchFolder& folder, const KaggleApi& api, const KaggleArchive& archive,
                  uint64_t needed_bytes, const Uri& place) {
  const KaggleScratch& scratch = api.options().scratch;
  const std::optional<uint64_t> free_bytes = FreeBytes(scratch.folder);
  if (free_bytes && *free_bytes < needed_bytes)
    return Fail(NeedsSpace(api.Question(), scratch.folder, needed_bytes, *free_bytes));
  const uint64_t size_bytes = archive.reader->info().size_bytes;
  if (scratch.tell)
    scratch.tell(fmt::format(
        "{} comes as one archive of {}: while this runs it lies unpacked in {}, {} bytes or more",
        Printable(place.Print()), FormatBytes(size_bytes), Printable(scratch.folder),
        needed_bytes));
  UnpackOptions options;
  options.most_bytes =
      scratch.most_archive_bytes > 0
          ? scratch.most_archive_bytes
          : std::max(kLeastCap, std::min(size_bytes, UINT64_MAX / kMostRatio) * kMostRatio);
  options.md5 = archive.md5;
  options.stop = api.options().engine->options().stop;
  const auto here = [&](Error error) {
    const bool is_told = std::any_of(error.where.begin(), error.where.end(),
                                     [](const Place& one) { return one.kind == "file"; });
    return is_told ? error : Where("file", Printable(place.PrintBelow("archive")))(error);
  };
  CKPT_TRY_VOID(Unpack(*archive.reader, folder.files(), *scratch.budget, options).map_error(here));
  return folder.SetFilled();
}

}  // namespace

Result<std::unique_ptr<Store>> OpenUnpackedKaggle(const std::shared_ptr<const KaggleApi>& api,
                                                  Uri place) {
  const KaggleScratch& scratch = api->options().scratch;
  const bool is_allowed = !scratch.folder.empty() && scratch.budget != nullptr;
  Result<KaggleArchive> archive = OpenKaggleArchive(api, place);
  if (!archive && is_allowed) return Fail(std::move(archive).error());
  std::optional<uint64_t> needed = api->UnpackedBytes();
  if (archive) needed = std::max(needed.value_or(0), archive->reader->info().size_bytes);
  if (!is_allowed) return Fail(NeedsScratch(api->Question(), needed));
  std::string mark = MarkOf(*api, *archive);
  const auto tell_waiting = [&] {
    if (scratch.tell)
      scratch.tell(fmt::format("waiting for another process that unpacks {} to {}",
                               Printable(place.Print()), Printable(scratch.folder)));
  };
  CKPT_TRY(std::unique_ptr<ScratchFolder> folder,
           ScratchFolder::Take(scratch.folder, "kaggle/" + api->handle().Print(),
                               place.Print() + " " + mark, api->options().engine->options().stop,
                               tell_waiting));
  if (!folder->is_filled()) {
    CKPT_TRY_VOID(Fill(*folder, *api, *archive, *needed, place));
  } else if (scratch.tell) {
    scratch.tell(fmt::format("{} comes as one archive: what {} holds of it already is taken",
                             Printable(place.Print()), Printable(scratch.folder)));
  }
  return std::make_unique<UnpackedStore>(std::move(place), std::move(mark), std::move(folder));
}

}  // namespace ckpt
