#pragma once

#include <memory>

#include "base/result.h"
#include "base/uri.h"
#include "store/kaggle/api.h"
#include "store/store.h"

namespace ckpt {

/// The files of a version that comes as one archive only, unpacked below options().scratch (a
/// folder of its own, named by handle and version). Names and bytes are those that a listing would
/// give; root() is `place`, and a generation is the version, the size of the file and the archive's
/// sums: the same on every run, so that a stopped one can be resumed after another unpacking. The
/// folder goes with the store (store/archive/scratch_folder.h). Errors: kCannotCreate where there
/// is no scratch folder, or not enough space (before the first byte is fetched, as far as the size
/// is known); those of store/archive/unpack.h.
Result<std::unique_ptr<Store>> OpenUnpackedKaggle(const std::shared_ptr<const KaggleApi>& api,
                                                  Uri place);

}  // namespace ckpt
