#pragma once

#include <cstdint>
#include <stop_token>
#include <string>

#include "base/crc32c.h"
#include "base/memory_budget.h"
#include "base/result.h"
#include "store/store.h"

namespace ckpt {

struct UnpackOptions {
  uint64_t most_bytes = 0;  ///< of the tar archive, headers included
  uint64_t most_members = 100'000;
  std::string md5;  ///< the 16 bytes that the archive's must be; "": not known
  std::stop_token stop;
};

/// What an archive held.
struct Unpacked {
  uint64_t files = 0;
  uint64_t bytes = 0;
};

/// The most of the budget that Unpack() holds.
uint64_t UnpackMemoryBytes();

/// Reads the archive `from` (tar, or tar.gz) once and makes its regular files in `into`, a folder
/// of this machine that holds none yet. Every name passes SafeName(); a leading "./" is dropped;
/// folders are made as files need them. At the end all that came is held to the archive's CRC-32C
/// (info().crc32c) and MD5, where they are known: only then the files may be used. Files that were
/// made before an error stay.
/// Errors: kBadInput, with the places "member" and "byte" (of the archive), for an archive that is
/// damaged, cut off or empty, holds anything else than files and folders, a name that is not safe
/// or comes twice, more than it may, or has another sum; kCannotCreate for a full disk; kResources;
/// kInterrupted; those of `from`.
Result<Unpacked> Unpack(ObjectReader& from, Store& into, MemoryBudget& budget,
                        const UnpackOptions& options);

}  // namespace ckpt
