#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/environment.h"
#include "base/memory_budget.h"
#include "base/result.h"
#include "base/secret.h"
#include "store/http/http.h"

namespace ckpt {

/// A credential of Kaggle, or where none was found.
struct KaggleCredential {
  Secret authorization;  ///< the header's value, "Bearer ..." or "Basic ..."; may be empty
  std::string user;      ///< "" where a token stands for it
  std::string source;    ///< "" where none was found
  std::vector<std::string> looked;  ///< all places that were looked at, in order

  static KaggleCredential OfToken(const Secret& token, std::string source);
  static KaggleCredential OfKey(std::string user, const Secret& key, std::string source);
};

/// Where a version that comes as one archive only may be unpacked.
struct KaggleScratch {
  std::string folder;               ///< "": nowhere
  uint64_t most_archive_bytes = 0;  ///< unpacked; 0: 20 times the archive, at least 1 GiB
  MemoryBudget* budget = nullptr;   ///< of the unpacking; null: nothing is unpacked now
  std::function<void(std::string_view)> tell;  ///< what is being done; may be empty
};

struct KaggleOptions {
  std::shared_ptr<http::Engine> engine;
  http::Url procedures;  ///< "https://api.kaggle.com/v1"
  http::Url paths;       ///< "https://www.kaggle.com/api/v1"
  KaggleCredential credential;
  std::string cache_folder;  ///< of kagglehub; "": no cache is looked at
  std::chrono::milliseconds location_age = std::chrono::minutes(50);  ///< of signed addresses
  KaggleScratch scratch;
};

/// The credential is the first of: KAGGLE_API_TOKEN (a token, or the file of one),
/// ~/.kaggle/access_token; KAGGLE_USERNAME with KAGGLE_KEY; in the folder of KAGGLE_CONFIG_DIR
/// (default /kaggle) kaggle.json, or the files username and key; ~/.kaggle/kaggle.json. None is no
/// error here: the service may not ask for one. The endpoint is KAGGLE_API_ENDPOINT where it is set
/// (its remote procedures are below /api/v1); the cache KAGGLEHUB_CACHE, else ~/.cache/kagglehub.
/// Errors: kNoCredential for a file that cannot be read or is malformed, kUsage for a bad endpoint.
Result<KaggleOptions> KaggleOptionsFromEnvironment(const Environment& environment,
                                                   std::shared_ptr<http::Engine> engine);

}  // namespace ckpt
