#include "store/hf/cache.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <system_error>

#include "base/text.h"
#include "store/store.h"

namespace ckpt {
namespace {

namespace fs = std::filesystem;

std::string RepoFolder(const HfPlace& place) {
  std::string name = "models";
  for (const std::string& part : Split(place.repo, '/')) name += "--" + part;
  return name;
}

// The commit in refs/REVISION; "" where there is none.
std::string CommitOf(const fs::path& repo, const std::string& revision) {
  if (IsCommit(revision)) return revision;
  std::ifstream file(repo / "refs" / revision, std::ios::binary);
  std::string text(64, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(file.gcount()));
  const std::string commit(Trimmed(text));
  return IsCommit(commit) ? commit : "";
}

}  // namespace

Result<std::optional<HfSnapshot>> FindInCache(const std::string& cache_folder, const HfPlace& place,
                                              std::span<const std::string> needed) {
  const std::optional<HfSnapshot> none;
  if (cache_folder.empty()) return none;
  const fs::path repo = fs::path(cache_folder) / RepoFolder(place);
  const std::string commit = CommitOf(repo, place.revision);
  if (commit.empty()) return none;
  const fs::path folder = repo / "snapshots" / commit;
  std::error_code error;
  if (!fs::is_directory(folder, error)) return none;
  for (const std::string& name : needed) {
    CKPT_TRY_VOID(SafeName(name));
    if (!fs::is_regular_file(folder / name, error)) return none;
  }
  return std::optional(HfSnapshot{folder.string(), commit});
}

bool HasInCache(const HfSnapshot& snapshot, const HfFile& file) {
  std::error_code error;
  const fs::path path = fs::path(snapshot.folder) / file.path;
  if (!fs::is_regular_file(path, error)) return false;
  const uint64_t size = fs::file_size(path, error);
  if (error || size != file.size_bytes) return false;
  if (!fs::is_symlink(path, error)) return true;
  const fs::path target = fs::read_symlink(path, error);
  return !error && target.filename().string() == file.digest();
}

}  // namespace ckpt
