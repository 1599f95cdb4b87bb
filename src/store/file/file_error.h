#pragma once

#include <cstdint>
#include <string_view>

#include "base/result.h"

namespace ckpt {

/// Whose fault a refusal is: a source that cannot be read, or an output that cannot be made.
enum class FileSide : uint8_t { kSource, kOutput };

/// A failed system call as an Error. `action` completes "cannot ...". The code follows from (side,
/// errno):
///   missing, or a part of the path is a file    source kNotFound, output kCannotCreate
///   no permission, read-only file system        source kDenied,   output kCannotCreate
///   name too long, link loop, wrong kind        source kBadInput, output kCannotCreate
///   full disk, quota, file size limit           kCannotCreate
///   memory, descriptors, threads                kResources
///   all else                                    kIo
/// The caller adds the place.
tl::unexpected<Error> FailFile(FileSide side, int error_number, std::string_view action);

/// The same for an output of which `needed_bytes` had to go to the file system of `fd`: a full disk
/// tells how much was needed and how much is free.
tl::unexpected<Error> FailOutput(int error_number, std::string_view action, int fd,
                                 uint64_t needed_bytes);

/// The output's name is taken and may not be replaced.
tl::unexpected<Error> FailExists();

}  // namespace ckpt
