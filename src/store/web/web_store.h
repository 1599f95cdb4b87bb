#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "store/http/http.h"
#include "store/store.h"

namespace ckpt {

/// The name of the file at an address: the last part of its path, decoded. kUsage where the path
/// ends in '/', or the part is no safe name.
Result<std::string> WebFileName(const http::Url& url);

/// The folder of one file of a web server, read only.
///  * List() has that file only. Stat() and Open() take its neighbours' names too, and names below
///    its folder: they get the same query, as tokens for a whole folder need it.
///  * A generation is the ETag or else Last-Modified, with the size; every read asks the server to
///    refuse (412) where it is another one now. Where the server tells neither, only the size holds
///    a file.
///  * A server must send ranges: kBadInput otherwise, with the remedy.
///  * The query may be a signature: nothing prints it.
/// Touches the file (its first byte). Requests and bytes are in the engine's counts. Errors:
/// store/web/explain.h. Readers may outlive the store.
Result<std::unique_ptr<Store>> OpenWebStore(const http::Url& url,
                                            std::shared_ptr<http::Engine> engine);

}  // namespace ckpt
