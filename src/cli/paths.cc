#include "cli/paths.h"

#include <system_error>

namespace ckpt {

bool IsFolder(const std::string& path) {
  std::error_code ignored;
  return std::filesystem::is_directory(path, ignored);
}

bool IsFile(const std::string& path) {
  std::error_code ignored;
  return std::filesystem::is_regular_file(path, ignored);
}

std::string NormalPath(const std::filesystem::path& path) {
  std::string normal = path.lexically_normal().string();
  while (normal.size() > 1 && normal.back() == '/') normal.pop_back();
  return normal;
}

std::string AbsolutePath(const std::filesystem::path& path) {
  return NormalPath(std::filesystem::absolute(path));
}

std::string FolderAbove(const std::string& path) {
  return NormalPath(std::filesystem::path(path).parent_path());
}

std::optional<std::string> PathBelow(std::string_view path, std::string_view root) {
  if (path == root) return std::string();
  std::string head(root);
  if (!head.ends_with('/')) head += '/';
  if (!path.starts_with(head)) return std::nullopt;
  return std::string(path.substr(head.size()));
}

bool AreRelated(std::string_view a, std::string_view b) {
  return PathBelow(a, b).has_value() || PathBelow(b, a).has_value();
}

std::string CommonFolder(std::string folder, std::string_view path) {
  while (folder != "/" && !PathBelow(path, folder)) folder = FolderAbove(folder);
  return folder;
}

}  // namespace ckpt
