#pragma once

#include <optional>
#include <span>
#include <string>

#include "base/result.h"
#include "store/hf/api.h"
#include "store/hf/place.h"

namespace ckpt {

/// A commit in the local cache of the official client.
struct HfSnapshot {
  std::string folder;
  std::string commit;
};

/// The snapshot of the place's revision (a commit, or what refs/ says it was when it was last
/// downloaded) that has every file of `needed`; nothing where there is none. Looks at
/// models--org--name/{refs,snapshots} below `cache_folder`. Errors: kIo.
Result<std::optional<HfSnapshot>> FindInCache(const std::string& cache_folder, const HfPlace& place,
                                              std::span<const std::string> needed);

/// Whether the snapshot has the file whole: of the listing's size, and, where it is a link into
/// blobs/ as the client makes them, to the bytes of the listing's digest.
bool HasInCache(const HfSnapshot& snapshot, const HfFile& file);

}  // namespace ckpt
