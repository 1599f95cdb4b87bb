#pragma once

#include <string>

#include "base/result.h"
#include "store/hf/api.h"
#include "store/http/http.h"

namespace ckpt {

/// Where a file's bytes are now.
struct HfLocation {
  http::Url url;
  bool is_of_storage = false;  ///< a signed address at another origin, which gets no token
};

/// Asks the Hub (HEAD) for the address of a file of the commit. Redirects within the Hub's origin
/// (a renamed repository) are followed with the token, the first one that leaves it is the answer.
/// Errors: ExplainHf; kBadInput where the Hub names another commit or size than the listing had;
/// kUnavailable for an address that must not be followed.
Result<HfLocation> Locate(const HfApi& api, const std::string& commit, const HfFile& file);

/// A GET of the file there, without range: with the token for the Hub, without for its storage.
http::Request RequestAt(const HfApi& api, const HfLocation& location);

}  // namespace ckpt
