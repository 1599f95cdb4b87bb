#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "base/environment.h"
#include "base/result.h"
#include "store/http/http.h"
#include "store/hub/credential.h"

namespace ckpt {

struct HfOptions {
  std::shared_ptr<http::Engine> engine;
  /// Of the Hub, or of a mirror. Its origin is the only one that gets the token. Where it is
  /// private or without TLS, the engine's trusted_origins must name it.
  http::Url endpoint;
  Credential token;          ///< none: public repositories need none
  bool is_offline = false;   ///< only the local cache is read; nothing is sent
  std::string cache_folder;  ///< "": no cache is looked at
  /// Signed addresses of the storage live about an hour.
  std::chrono::milliseconds location_age = std::chrono::minutes(50);
};

/// From HF_ENDPOINT; the token `given` by the user, else (unless HF_HUB_DISABLE_IMPLICIT_TOKEN is
/// on) HF_TOKEN, HUGGING_FACE_HUB_TOKEN, HUGGINGFACE_TOKEN in the folder of HUGGINGFACE_TOKEN_DIR
/// (default /huggingface), the file of HF_TOKEN_PATH, token in the folder of HF_HOME (default
/// ~/.cache/huggingface); HF_HUB_OFFLINE; HF_HUB_CACHE, else hub in the folder of HF_HOME.
/// Errors: kUsage for a bad endpoint, kNoCredential for a token file that cannot be read.
Result<HfOptions> HfOptionsFromEnvironment(const Environment& environment,
                                           std::shared_ptr<http::Engine> engine,
                                           Credential given = {});

}  // namespace ckpt
