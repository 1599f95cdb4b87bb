#pragma once

#include <memory>

#include "base/result.h"
#include "store/hf/options.h"
#include "store/hf/place.h"
#include "store/store.h"

namespace ckpt {

/// The files of one commit below the place's folder, read only (scheme hf). Where the folder names
/// one file, the root is the folder of that file, and the file is its only object.
///  * Opening resolves the revision to a commit, once: a push meanwhile mixes nothing. root() names
///    the commit.
///  * The listing is asked for once, and held. A generation is the commit and the file's digest.
///  * Bytes come by ranges, from the local cache of the official client where it has the file of
///    that commit, else from the Hub or the storage that it names; the token goes to the Hub only.
///  * Offline: the store of the cache's snapshot; kNotFound where there is none.
/// Requests and bytes are in the engine's counts. Errors of the Hub: store/hf/explain.h. Readers
/// must not outlive the store.
Result<std::unique_ptr<Store>> OpenHfStore(HfPlace place, HfOptions options);

}  // namespace ckpt
