#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace ckpt {

/// How many first bytes a kind is told by; fewer are fine where the file is shorter.
inline constexpr size_t kKindBytes = 64;

enum class FileKind : uint8_t {
  kUnknown,
  kSafetensors,  ///< a plausible header length, then a JSON object
  kGguf,
  kTorchZip,     ///< a zip archive: PyTorch's .pth, .pt and .bin since 1.6
  kTorchPickle,  ///< a bare pickle: PyTorch's older files
  kJson,
  kLfsPointer,  ///< a Git LFS pointer in place of the file
  kHtml,
  kGzip,
  kHdf5,
};

/// `front` is the beginning of the file. A safetensors header of 640 bytes begins like a pickle, so
/// that form is tried first.
FileKind PeekFileKind(std::string_view front);

/// What to say of a file of this kind where weights were expected; both empty for kUnknown.
struct KindWords {
  std::string_view what;  ///< "a Git LFS pointer, not the file itself"
  std::string_view remedy;
};
KindWords Words(FileKind kind);

}  // namespace ckpt
