#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace ckpt {

// Local paths as words of the command line name them; nothing here is a store.

bool IsFolder(const std::string& path);
bool IsFile(const std::string& path);

/// Without ".", ".." and a slash at its end.
std::string NormalPath(const std::filesystem::path& path);
/// The same from the root, whatever the working directory.
std::string AbsolutePath(const std::filesystem::path& path);
/// The folder that a path in normal form lies in.
std::string FolderAbove(const std::string& path);

/// `path` below `root`: "" where they are the same; nothing where it is not.
std::optional<std::string> PathBelow(std::string_view path, std::string_view root);
/// Whether one of them is the other, or lies below it.
bool AreRelated(std::string_view a, std::string_view b);
/// How many folders up from an output its state may lie.
inline constexpr int kMostParents = 8;
/// The deepest folder, of `folder` and those above it, that holds `path` too. All absolute.
std::string CommonFolder(std::string folder, std::string_view path);

}  // namespace ckpt
