#include "store/store.h"

#include <fmt/format.h>

#include <cctype>
#include <utility>

#include "base/text.h"
#include "base/units.h"

namespace ckpt {
namespace {

constexpr size_t kShown = 80;          // bytes of a refused name that a message shows
constexpr size_t kMaxPartBytes = 255;  // NAME_MAX of every file system we write to

// What is wrong with one part of a name, or "".
std::string_view PartDefect(std::string_view part) {
  if (part.empty()) return "is empty";
  if (part == "." || part == "..") return "leads elsewhere";
  if (part.size() > kMaxPartBytes) return "is longer than 255 bytes";
  if (part.find('\0') != std::string_view::npos) return "has a NUL byte";
  if (part.find('\\') != std::string_view::npos) return "has a backslash";
  return "";
}

bool HasDriveLetter(std::string_view name) {
  return name.size() >= 2 && name[1] == ':' &&
         std::isalpha(static_cast<unsigned char>(name[0])) != 0;
}

tl::unexpected<Error> RefuseName(std::string_view name, std::string_view part,
                                 std::string_view defect) {
  const auto shown = [](std::string_view text) {
    return Printable(text.substr(0, kShown)) + (text.size() > kShown ? "..." : "");
  };
  return Fail(
      Code::kBadInput,
      fmt::format(R"(unsafe name "{}": the part "{}" {})", shown(name), shown(part), defect),
      "names must be relative and stay below their root: fetch the file that holds this "
      "name again from a source that you trust");
}

}  // namespace

Result<void> SafeName(std::string_view name) {
  if (HasDriveLetter(name)) return RefuseName(name, name.substr(0, 2), "is a drive letter");
  for (size_t begin = 0; begin <= name.size();) {
    const size_t end = std::min(name.find('/', begin), name.size());
    const std::string_view part = name.substr(begin, end - begin);
    if (const std::string_view defect = PartDefect(part); !defect.empty())
      return RefuseName(name, part, defect);
    begin = end + 1;
  }
  return {};
}

Result<std::string> Store::ReadWhole(std::string_view name, uint64_t limit_bytes) {
  CKPT_TRY(const ObjectInfo info, Stat(name));
  if (info.size_bytes > limit_bytes) {
    return Result<std::string>(
               Fail(Code::kBadInput,
                    fmt::format("has {}, at most {} are allowed here", FormatBytes(info.size_bytes),
                                FormatBytes(limit_bytes)),
                    "damaged, or not the file that its name says: fetch it again"))
        .map_error(Where("file", Printable(root().PrintBelow(name))));
  }
  CKPT_TRY(const std::unique_ptr<ObjectReader> reader, Open(info));
  std::string text(info.size_bytes, '\0');
  CKPT_TRY_VOID(reader->Read({0, info.size_bytes}, std::as_writable_bytes(std::span(text))));
  return text;
}

Result<void> Store::RenameFolder(std::string_view from, std::string_view to) {
  return Fail(Code::kInternal,
              "folder \"" + std::string(from) + "\" cannot be renamed to \"" + std::string(to) +
                  "\" in this store",
              "please report this");
}

Result<void> Store::RemoveAll(std::string_view folder) {
  CKPT_TRY(const std::vector<ObjectInfo> objects, List(folder));
  for (const ObjectInfo& object : objects) CKPT_TRY_VOID(Remove(object.name));
  return {};
}

Result<std::unique_ptr<ObjectReader>> Store::OpenUnfinished(std::string_view /*name*/,
                                                            std::string_view /*session*/) {
  return std::unique_ptr<ObjectReader>();
}

Result<void> Store::DropUnfinished(std::string_view /*name*/, std::string_view /*session*/) {
  return {};
}

Result<size_t> Store::DropUnfinishedBelow(std::string_view /*folder*/) { return size_t{0}; }

Result<std::span<std::byte>> PositionedWriter::Room(ByteRange) { return std::span<std::byte>(); }

Result<ObjectInfo> WriteSmallObject(Store& store, std::string_view name, std::string_view text,
                                    CreateOptions options) {
  CKPT_TRY(const std::unique_ptr<ObjectWriter> writer, store.Create(name, std::move(options)));
  CKPT_TRY_VOID(writer->Append(std::as_bytes(std::span(text))));
  return writer->Commit();
}

Result<void> WriteSmallObjectOnce(Store& store, std::string_view name, std::string_view text,
                                  CreateOptions options) {
  options.is_create_only = true;
  Result<ObjectInfo> made = WriteSmallObject(store, name, text, std::move(options));
  if (made) return {};
  if (made.error().code == Code::kCannotCreate) {
    const Result<std::string> found = store.ReadWhole(name, text.size() + 1);
    if (found && *found == text) return {};
  }
  return Fail(std::move(made).error());
}

}  // namespace ckpt
