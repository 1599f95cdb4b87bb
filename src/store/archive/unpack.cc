#include "store/archive/unpack.h"

#include <fmt/format.h>

#include <filesystem>
#include <memory>
#include <string_view>
#include <system_error>
#include <utility>

#include "base/base64.h"
#include "base/buffer.h"
#include "base/text.h"
#include "base/units.h"
#include "store/archive/plain_stream.h"
#include "store/archive/sequential_reader.h"
#include "store/archive/tar_reader.h"

namespace ckpt {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kPlainBytes = 256 * kKiB;
// Of zlib (44 KiB) and libarchive (a header, and the map of a sparse file before it is refused).
constexpr uint64_t kDecoderBytes = 8 * kMiB;
// A path is longer than any published one; shorter than what system calls take.
constexpr size_t kMostNameBytes = 1024;

constexpr std::string_view kUnpackYourself =
    "unpack the archive yourself if you trust it, and convert from the folder";
constexpr std::string_view kFetchAgain =
    "run again; if it stays, the archive is damaged where it lies";

// "./a/b/" is a/b.
std::string_view Bare(std::string_view name) {
  while (name.starts_with("./")) name.remove_prefix(2);
  while (name.ends_with('/')) name.remove_suffix(1);
  return name;
}

class Unpacking {
 public:
  Unpacking(Store& into, const UnpackOptions& options) : into_(into), options_(options) {}

  Result<Unpacked> Run(TarReader& tar) {
    while (true) {
      CKPT_TRY(const std::optional<TarMember> member, tar.Next());
      if (!member) break;
      CKPT_TRY_VOID(Take(tar, *member).map_error(Where("member", Excerpt(member->name))));
    }
    if (unpacked_.files == 0)
      return Fail(Code::kBadInput, "the archive holds no files", std::string(kFetchAgain));
    return unpacked_;
  }

 private:
  Result<void> Take(TarReader& tar, const TarMember& member) {
    if (++members_ > options_.most_members)
      return Fail(Code::kBadInput,
                  fmt::format("the archive has more than {} members", options_.most_members),
                  std::string(kUnpackYourself));
    const std::string_view name = Bare(member.name);
    // The archive's own folder.
    if (member.is_folder && (member.name == "./" || member.name == ".")) return {};
    if (name.size() > kMostNameBytes)
      return Fail(Code::kBadInput,
                  fmt::format("the name of a member has {} bytes, more than {}", name.size(),
                              kMostNameBytes),
                  std::string(kUnpackYourself));
    CKPT_TRY_VOID(SafeName(name));
    if (member.is_folder) return {};
    CKPT_TRY_VOID(CheckFree(std::string(name)));
    if (member.size_bytes > options_.most_bytes - unpacked_.bytes)
      return Fail(
          Code::kBadInput,
          fmt::format("the archive holds more than the {} bytes that it may", options_.most_bytes),
          "if it is what you expect, give --max-archive-bytes SIZE");
    return Write(tar, std::string(name), member.size_bytes);
  }

  // The folder was empty: what lies there came out of this archive.
  Result<void> CheckFree(const std::string& name) const {
    const fs::path root(into_.root().path());
    std::error_code ignored;
    if (fs::exists(fs::symlink_status(root / name, ignored)))
      return Fail(Code::kBadInput, "the archive names this twice", std::string(kUnpackYourself));
    for (size_t slash = name.find('/'); slash != std::string::npos;
         slash = name.find('/', slash + 1)) {
      const fs::file_status above = fs::symlink_status(root / name.substr(0, slash), ignored);
      if (fs::exists(above) && !fs::is_directory(above))
        return Fail(
            Code::kBadInput,
            fmt::format("the archive has \"{}\" as a file too", Excerpt(name.substr(0, slash))),
            std::string(kUnpackYourself));
    }
    return {};
  }

  Result<void> Write(TarReader& tar, const std::string& name, uint64_t size_bytes) {
    const auto disk = [](Error error) {
      if (error.code == Code::kCannotCreate)
        error.remedy = "free some space there, or name another --scratch";
      return error;
    };
    CKPT_TRY(const std::unique_ptr<ObjectWriter> writer,
             Result<std::unique_ptr<ObjectWriter>>(into_.Create(name, {}).map_error(disk)));
    uint64_t done = 0;
    while (true) {
      if (options_.stop.stop_requested())
        return Fail(Code::kInterrupted, "the unpacking was interrupted");
      CKPT_TRY(const std::span<const std::byte> bytes, tar.Read());
      if (bytes.empty()) break;
      done += bytes.size();
      CKPT_TRY_VOID(writer->Append(bytes).map_error(disk));
    }
    if (done != size_bytes)
      return Fail(Code::kBadInput,
                  fmt::format("the member ends after {} of {} bytes", done, size_bytes),
                  std::string(kFetchAgain));
    CKPT_TRY_VOID(writer->Commit().map_error(disk));
    ++unpacked_.files;
    unpacked_.bytes += done;
    return {};
  }

  Store& into_;
  const UnpackOptions& options_;
  uint64_t members_ = 0;
  Unpacked unpacked_;
};

Result<void> CheckSums(SequentialReader& packed, const ObjectInfo& info, const std::string& md5) {
  const auto other = [](std::string_view kind) {
    return Fail(Code::kBadInput,
                fmt::format("the archive's {} is not the one that the storage tells", kind),
                std::string(kFetchAgain));
  };
  if (info.crc32c && packed.crc32c() != *info.crc32c) return other("CRC-32C");
  if (!md5.empty() && packed.FinishMd5() != md5) return other("MD5");
  return {};
}

}  // namespace

uint64_t UnpackMemoryBytes() { return SequentialReader::kHeldBytes + kPlainBytes + kDecoderBytes; }

Result<Unpacked> Unpack(ObjectReader& from, Store& into, MemoryBudget& budget,
                        const UnpackOptions& options) {
  // All at once, so that a budget without room says so instead of waiting for us. The last part is
  // never touched: it stands for what the libraries allocate.
  CKPT_TRY(Grant grant, budget.Acquire(UnpackMemoryBytes(), options.stop));
  CKPT_TRY(Buffer memory, Buffer::Allocate(std::move(grant)));
  SequentialReader packed(from, memory.span(0, SequentialReader::kHeldBytes), options.stop);
  const std::span<std::byte> plain = memory.span(SequentialReader::kHeldBytes, kPlainBytes);
  uint64_t reached = 0;
  const auto unpack = [&]() -> Result<Unpacked> {
    CKPT_TRY(const std::unique_ptr<PlainStream> stream,
             PlainStream::Open(packed, options.most_bytes));
    Result<std::unique_ptr<TarReader>> tar = TarReader::Open(*stream, plain);
    Result<Unpacked> unpacked =
        tar ? Unpacking(into, options).Run(**tar) : Result<Unpacked>(Fail(tar.error()));
    reached = stream->packed_position();
    return unpacked;
  };
  Result<Unpacked> unpacked = unpack();
  if (unpacked) {
    if (Result<void> good = CheckSums(packed, from.info(), options.md5); !good)
      return Fail(std::move(good).error());
    return unpacked;
  }
  Error error = std::move(unpacked).error();
  // Errors of reading have the byte already.
  if (error.code == Code::kBadInput) error = Where("byte", std::to_string(reached))(error);
  return Fail(std::move(error));
}

}  // namespace ckpt
