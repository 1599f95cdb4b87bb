#pragma once

#include <chrono>
#include <memory>

#include "base/result.h"
#include "store/gs/auth/token_source.h"

namespace ckpt::gs {

/// The metadata server of a Google machine or pod, whose host is GCE_METADATA_HOST or
/// metadata.google.internal. Nothing where none answers within `probe`; where the environment says
/// that there should be one (GCE_METADATA_HOST, KUBERNETES_SERVICE_HOST), within `patience`: in a
/// pod that just started it answers late. Errors: kUsage for a host that is none.
Result<std::unique_ptr<TokenSource>> FindMetadataServer(const TokenContext& context,
                                                        std::string scope,
                                                        std::chrono::milliseconds probe,
                                                        std::chrono::milliseconds patience);

}  // namespace ckpt::gs
