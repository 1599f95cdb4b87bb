#include "store/file/file_error.h"

#include <fmt/format.h>
#include <sys/statvfs.h>

#include <cerrno>
#include <string>
#include <system_error>

#include "base/units.h"

namespace ckpt {
namespace {

enum class Kind : uint8_t { kMissing, kRefused, kWrongKind, kFull, kResources, kOther };

Kind KindOf(int error_number) {
  switch (error_number) {
    case ENOENT:
    case ENOTDIR:
      return Kind::kMissing;
    case EACCES:
    case EPERM:
    case EROFS:
      return Kind::kRefused;
    case EEXIST:
    case EISDIR:
    case ELOOP:
    case ENAMETOOLONG:
    case ENOTEMPTY:
    case ENXIO:
    case EXDEV:
      return Kind::kWrongKind;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:  // RLIMIT_FSIZE, or more than the file system can hold in one file
      return Kind::kFull;
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case EAGAIN:
      return Kind::kResources;
    default:
      return Kind::kOther;
  }
}

Code CodeOf(FileSide side, Kind kind) {
  const bool is_source = side == FileSide::kSource;
  switch (kind) {
    case Kind::kMissing:
      return is_source ? Code::kNotFound : Code::kCannotCreate;
    case Kind::kRefused:
      return is_source ? Code::kDenied : Code::kCannotCreate;
    case Kind::kWrongKind:
      return is_source ? Code::kBadInput : Code::kCannotCreate;
    case Kind::kFull:
      return Code::kCannotCreate;
    case Kind::kResources:
      return Code::kResources;
    case Kind::kOther:
      return Code::kIo;
  }
  return Code::kIo;
}

std::string_view RemedyOf(FileSide side, int error_number) {
  const bool is_source = side == FileSide::kSource;
  switch (KindOf(error_number)) {
    case Kind::kMissing:
      return is_source ? "check the path, and that the file system is mounted here"
                       : "a part of this path is missing or is a file: name another output folder";
    case Kind::kRefused:
      if (error_number == EROFS) return "the file system is mounted read-only: name another output";
      return is_source ? "let this user read the file and enter its folders"
                       : "let this user write to the folder, or name another output";
    case Kind::kWrongKind:
      return is_source ? "name a regular file in a folder" : "name another output folder";
    case Kind::kFull:
      if (error_number == EFBIG)
        return "raise the limit (ulimit -f), or name an output on a file system for larger files";
      return "free some space or raise the quota, or name an output elsewhere";
    case Kind::kResources:
      if (error_number == EMFILE || error_number == ENFILE)
        return "raise the number of open files (ulimit -n)";
      return "run again with more memory for the system";
    case Kind::kOther:
      return "check the disk and its mount (dmesg tells more), then run again";
  }
  return "";
}

// strerror's text; std::generic_category's is safe on any thread.
std::string Message(int error_number) { return std::generic_category().message(error_number); }

}  // namespace

tl::unexpected<Error> FailFile(FileSide side, int error_number, std::string_view action) {
  return Fail(CodeOf(side, KindOf(error_number)),
              fmt::format("cannot {}: {}", action, Message(error_number)),
              std::string(RemedyOf(side, error_number)));
}

tl::unexpected<Error> FailOutput(int error_number, std::string_view action, int fd,
                                 uint64_t needed_bytes) {
  if (KindOf(error_number) != Kind::kFull) return FailFile(FileSide::kOutput, error_number, action);
  std::string free = "an unknown amount is free";
  if (struct statvfs space{}; fstatvfs(fd, &space) == 0)
    free = FormatBytes(uint64_t{space.f_bavail} * space.f_frsize) + " are free";
  return Fail(Code::kCannotCreate,
              fmt::format("cannot {}: {}: {} needed, {} in the file system", action,
                          Message(error_number), FormatBytes(needed_bytes), free),
              std::string(RemedyOf(FileSide::kOutput, error_number)));
}

tl::unexpected<Error> FailExists() {
  return Fail(Code::kCannotCreate, "exists already",
              "name another output, or replace this one with --overwrite");
}

}  // namespace ckpt
