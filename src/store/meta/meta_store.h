#pragma once

#include <cstdint>
#include <memory>

#include "base/result.h"
#include "store/http/http.h"
#include "store/meta/folders.h"
#include "store/meta/link.h"
#include "store/meta/sequential_reader.h"
#include "store/store.h"

namespace ckpt {

struct MetaOptions {
  std::shared_ptr<http::Engine> engine;
  int64_t now = 0;  ///< seconds since 1970, against which the link's end is held
  SequentialOptions reading;
  std::shared_ptr<LongGetCounts> counts = std::make_shared<LongGetCounts>();
};

/// The files of one model behind a link, read only: checklist.chk, what it names, params.json and
/// tokenizer.model (for Llama 2 the one beside the folders).
///  * Fails before anything is sent where the link has ended (kDenied).
///  * Opening reads checklist.chk and asks each file for its first byte: HEAD is refused there. A
///    file that is not on the list and not there is left out. Nothing is asked again.
///  * A generation is size and ETag.
///  * Bulk reads: store/meta/sequential_reader.h. params.json and others that are read whole are
///    held to their md5; of files that are read in parts it is not checked.
///  * The link is a secret: only scheme, host and path are printed.
/// Errors: store/meta/explain.h. Readers may outlive the store.
Result<std::unique_ptr<Store>> OpenMetaStore(const MetaLink& link, const MetaFolder& folder,
                                             MetaOptions options);

/// How many long GETs reading a file of this size once in order takes: for the plan. Shards
/// multiply it.
uint64_t LongGetsOf(uint64_t size_bytes, const SequentialOptions& options);

}  // namespace ckpt
