#include "format/kind/kind.h"

#include <algorithm>

namespace ckpt {
namespace {

constexpr std::string_view kNameTorch = "name it as what it is, with the ending .pth or .bin";

bool IsJsonSpace(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }

// Eight bytes of a length that is no absurd one, then the first byte of a JSON object or of the
// space before it.
bool LooksLikeSafetensors(std::string_view front) {
  if (front.size() < 9) return false;
  const bool is_below_4_gib =
      std::all_of(front.begin() + 4, front.begin() + 8, [](char c) { return c == 0; });
  return is_below_4_gib && (front[8] == '{' || IsJsonSpace(front[8]));
}

}  // namespace

FileKind PeekFileKind(std::string_view front) {
  if (LooksLikeSafetensors(front)) return FileKind::kSafetensors;
  if (front.starts_with("GGUF")) return FileKind::kGguf;
  if (front.starts_with("PK\x03\x04")) return FileKind::kTorchZip;
  if (front.starts_with("version https://git-lfs")) return FileKind::kLfsPointer;
  if (front.starts_with("\x1f\x8b")) return FileKind::kGzip;
  if (front.starts_with("\x89HDF")) return FileKind::kHdf5;
  if (front.size() >= 2 && front[0] == '\x80' && front[1] >= 2 && front[1] <= 5)
    return FileKind::kTorchPickle;
  const auto* const text = std::find_if_not(front.begin(), front.end(), IsJsonSpace);
  if (text == front.end()) return FileKind::kUnknown;
  if (*text == '<') return FileKind::kHtml;
  if (*text == '{' || *text == '[') return FileKind::kJson;
  return FileKind::kUnknown;
}

KindWords Words(FileKind kind) {
  switch (kind) {
    case FileKind::kUnknown:
      return {};
    case FileKind::kSafetensors:
      return {"a safetensors file", "name it with the ending .safetensors"};
    case FileKind::kGguf:
      return {"a GGUF file", "name it with the ending .gguf"};
    case FileKind::kTorchZip:
      return {"a zip archive (PyTorch's .pth and .bin are)", kNameTorch};
    case FileKind::kTorchPickle:
      return {"a Python pickle (an old PyTorch file)", kNameTorch};
    case FileKind::kJson:
      return {"a JSON text, not weights",
              "name the folder that holds it, or the file with the weights"};
    case FileKind::kLfsPointer:
      return {"a Git LFS pointer, not the file itself",
              "run `git lfs pull` in its folder, or name the repository as hf://"};
    case FileKind::kHtml:
      return {"an HTML page, not weights",
              "the download was answered by a web page (login, licence or error): accept the "
              "licence and fetch it again"};
    case FileKind::kGzip:
      return {"a gzip archive", "unpack it and name the folder"};
    case FileKind::kHdf5:
      return {"an HDF5 file (Keras)", "name a safetensors or GGUF release of this model"};
  }
  return {};
}

}  // namespace ckpt
