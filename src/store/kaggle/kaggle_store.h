#pragma once

#include <memory>

#include "base/result.h"
#include "store/kaggle/handle.h"
#include "store/kaggle/options.h"
#include "store/store.h"

namespace ckpt {

/// The files of one model version, read only (scheme kaggle).
///  * A handle without a version is that of the newest one when it is opened; root() names it.
///  * A version that kagglehub's cache has whole is the store of that folder: nothing is sent.
///  * The listing is asked for once, and held. A generation is version, size and creation date.
///  * Bytes come by ranges through signed addresses, which get no credentials. Open() does two
///    requests for them; its reader's info() has the storage's CRC-32C.
/// Requests and bytes are in the engine's counts. Errors: store/kaggle/explain.h.
///  * A version that the service lists no files of, but gives as one archive, is unpacked to
///  options.scratch first, and its files are gone when the store ends
///  (store/kaggle/unpacked_store.h). kCannotCreate where no scratch folder is named.
/// Readers must not outlive the store.
Result<std::unique_ptr<Store>> OpenKaggleStore(const KaggleHandle& handle, KaggleOptions options);

}  // namespace ckpt
