#pragma once

#include <memory>
#include <string>

#include "store/hf/api.h"
#include "store/store.h"

namespace ckpt {

/// A file of the commit, read by ranges of at most 64 MiB (whole files over 50 GB are refused by
/// the storage). Its address is asked for with the first read, again after
/// HfOptions::location_age, and when the storage refuses it. A read from byte 0 refuses a pointer
/// or a page for browsers; a small read of all bytes compares the digest. Thread-safe. `api` is
/// shared with the store, which may end first.
std::unique_ptr<ObjectReader> OpenHfFile(std::shared_ptr<const HfApi> api, std::string commit,
                                         HfFile file, ObjectInfo info, Uri place);

/// The same promises for a file of the local cache, which the official client took for whole:
/// `cached` is its reader.
std::unique_ptr<ObjectReader> OpenCachedHfFile(std::unique_ptr<ObjectReader> cached, HfFile file,
                                               ObjectInfo info, Uri place);

}  // namespace ckpt
