#include "store/archive/tar_reader.h"

#include <archive.h>
#include <archive_entry.h>
#include <fmt/format.h>

#include <clocale>
#include <utility>

#include "base/check.h"
#include "base/text.h"

namespace ckpt {
namespace {

// Member names of pax archives are UTF-8, which libarchive turns into the locale's characters: into
// question marks where that is "C". The C library has this locale built in; other threads keep
// theirs.
class Utf8Locale {
 public:
  Utf8Locale()
      : utf8_(newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr)),
        before_(utf8_ == nullptr ? nullptr : uselocale(utf8_)) {}
  Utf8Locale(const Utf8Locale&) = delete;
  Utf8Locale& operator=(const Utf8Locale&) = delete;
  ~Utf8Locale() {
    if (utf8_ == nullptr) return;
    uselocale(before_);
    freelocale(utf8_);
  }

 private:
  locale_t utf8_;
  locale_t before_;
};

std::string KindWords(archive_entry* entry) {
  if (archive_entry_hardlink(entry) != nullptr) return "a hard link";
  switch (archive_entry_filetype(entry)) {
    case AE_IFLNK:
      return "a symbolic link";
    case AE_IFCHR:
    case AE_IFBLK:
      return "a device";
    case AE_IFIFO:
      return "a pipe";
    case AE_IFSOCK:
      return "a socket";
    case AE_IFREG:
      return archive_entry_sparse_count(entry) > 0 ? "a sparse file" : "";
    case AE_IFDIR:
      return "";
    default:
      return "of an unknown kind";
  }
}

}  // namespace

struct TarReader::State {
  struct Free {
    void operator()(archive* spent) const { archive_read_free(spent); }
  };

  State(PlainStream& given, std::span<std::byte> memory) : stream(given), buffer(memory) {}

  // What went wrong: in the stream below, or in the tar archive.
  tl::unexpected<Error> Failure() {
    if (broken) return Fail(*std::exchange(broken, std::nullopt));
    const char* words = archive_error_string(tar.get());
    return Fail(Code::kBadInput,
                fmt::format("the archive is no whole tar archive: {}",
                            Excerpt(words == nullptr ? "no reason told" : words)),
                "run again; if it stays, the archive is damaged where it lies");
  }

  // The bytes that libarchive asks for.
  la_ssize_t Fill(const void** bytes) {
    Result<size_t> count = stream.Read(buffer);
    if (count && is_in_header) {
      header_bytes += *count;
      // A header is at most one bufferful more than it may: the buffer may begin before it.
      if (header_bytes > kMostHeaderBytes + buffer.size())
        count = Fail(
            Code::kBadInput,
            fmt::format("the headers of one member are larger than {} bytes", kMostHeaderBytes),
            "unpack the archive yourself, and convert from the folder");
    }
    if (!count) {
      broken = std::move(count).error();
      return ARCHIVE_FATAL;
    }
    *bytes = buffer.data();
    return static_cast<la_ssize_t>(*count);
  }

  // What follows the end of the archive: filling, which the sums count.
  Result<void> Drain() {
    while (true) {
      CKPT_TRY(const size_t count, stream.Read(buffer));
      if (count == 0) return {};
    }
  }

  PlainStream& stream;
  const std::span<std::byte> buffer;
  std::unique_ptr<archive, Free> tar{archive_read_new()};
  std::optional<Error> broken;
  bool is_in_header = true;
  bool is_in_member = false;
  uint64_t header_bytes = 0;
  uint64_t read_bytes = 0;  // of the member
};

TarReader::TarReader(std::unique_ptr<State> state) : state_(std::move(state)) {}
TarReader::~TarReader() = default;

Result<std::unique_ptr<TarReader>> TarReader::Open(PlainStream& stream,
                                                   std::span<std::byte> buffer) {
  const Utf8Locale utf8;
  auto state = std::make_unique<State>(stream, buffer);
  archive* const tar = state->tar.get();
  if (tar == nullptr || archive_read_support_format_tar(tar) != ARCHIVE_OK)
    return Fail(Code::kResources, "libarchive cannot begin",
                "run again with more memory for the system");
  const auto fill = [](archive* /*tar*/, void* data, const void** bytes) {
    return static_cast<State*>(data)->Fill(bytes);
  };
  if (archive_read_open(tar, state.get(), nullptr, fill, nullptr) != ARCHIVE_OK)
    return state->Failure();
  return std::unique_ptr<TarReader>(new TarReader(std::move(state)));
}

Result<std::optional<TarMember>> TarReader::Next() {
  const Utf8Locale utf8;
  State& state = *state_;
  archive_entry* entry = nullptr;
  // What is left of the member before (a folder may have bytes) is no header.
  if (std::exchange(state.is_in_member, false) &&
      archive_read_data_skip(state.tar.get()) < ARCHIVE_WARN)
    return state.Failure();
  state.is_in_header = true;
  state.header_bytes = 0;
  const int status = archive_read_next_header(state.tar.get(), &entry);
  if (status == ARCHIVE_EOF) {
    CKPT_TRY_VOID(state.Drain());
    return std::optional<TarMember>();
  }
  // A warning is a header that was understood in part: a name may be another one.
  if (status != ARCHIVE_OK) return state.Failure();
  state.is_in_header = false;
  state.is_in_member = true;
  state.read_bytes = 0;
  const char* name = archive_entry_pathname(entry);
  if (name == nullptr) return state.Failure();
  TarMember member{name, static_cast<uint64_t>(archive_entry_size(entry)),
                   archive_entry_filetype(entry) == AE_IFDIR};
  if (const std::string kind = KindWords(entry); !kind.empty())
    return Result<std::optional<TarMember>>(
               Fail(Code::kBadInput,
                    fmt::format("a member of the archive is {}, not a file or folder", kind),
                    "unpack the archive yourself if you trust it, and convert from the folder"))
        .map_error(Where("member", Excerpt(member.name)));
  return std::optional<TarMember>(std::move(member));
}

Result<std::span<const std::byte>> TarReader::Read() {
  State& state = *state_;
  const void* bytes = nullptr;
  size_t size = 0;
  la_int64_t offset = 0;
  const int status = archive_read_data_block(state.tar.get(), &bytes, &size, &offset);
  if (status == ARCHIVE_EOF) return std::span<const std::byte>();
  if (status != ARCHIVE_OK) return state.Failure();
  if (offset < 0 || static_cast<uint64_t>(offset) != state.read_bytes)
    return Fail(Code::kBadInput, "a member of the archive has holes",
                "unpack the archive yourself if you trust it, and convert from the folder");
  state.read_bytes += size;
  return std::span(static_cast<const std::byte*>(bytes), size);
}

}  // namespace ckpt
