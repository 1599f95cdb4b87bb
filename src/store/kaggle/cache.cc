#include "store/kaggle/cache.h"

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "base/text.h"

namespace ckpt {
namespace {

namespace fs = std::filesystem;

bool IsComplete(const fs::path& variation, const std::string& version) {
  std::error_code error;
  return fs::is_directory(variation / version, error) &&
         fs::is_regular_file(variation / (version + ".complete"), error);
}

// The version's folder below one framework's spelling.
std::optional<std::string> FindVersion(const fs::path& variation, const KaggleHandle& handle) {
  if (handle.version != 0) {
    const std::string version = std::to_string(handle.version);
    if (!IsComplete(variation, version)) return std::nullopt;
    return (variation / version).string();
  }
  unsigned newest = 0;
  std::error_code error;
  for (fs::directory_iterator entry(variation, error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    const bool is_number = !name.empty() && name.size() < 9 &&
                           name.find_first_not_of("0123456789") == std::string::npos;
    if (!is_number || !IsComplete(variation, name)) continue;
    newest = std::max(newest, static_cast<unsigned>(std::stoul(name)));
  }
  if (newest == 0) return std::nullopt;
  return (variation / std::to_string(newest)).string();
}

}  // namespace

std::optional<std::string> FindInKaggleCache(const std::string& cache_folder,
                                             const KaggleHandle& handle) {
  if (cache_folder.empty()) return std::nullopt;
  const fs::path model = fs::path(cache_folder) / "models" / handle.owner / handle.model;
  std::error_code error;
  for (fs::directory_iterator entry(model, error), end; !error && entry != end;
       entry.increment(error)) {
    if (Lower(entry->path().filename().string()) != Lower(handle.framework)) continue;
    std::optional<std::string> found = FindVersion(entry->path() / handle.variation, handle);
    if (found) return found;
  }
  return std::nullopt;
}

}  // namespace ckpt
