#pragma once

#include <functional>

#include "run/journal.h"
#include "source/source_checks.h"
#include "store/store.h"

namespace ckpt {

/// Calls what it is given for each record of a run.
using EachRecord =
    std::function<Result<void>(const std::function<Result<void>(const BundleRecord&)>& take)>;

/// Holds all that the bundles read of `source`, in whichever process, against the source's own
/// checksums. Call when every bundle is recorded, before anything of the output can be read.
/// kBadInput where bytes are damaged; `forget` (may be empty) has then removed what was made of
/// them, so that the next run reads them again instead of failing for ever.
Result<void> JudgeSource(SourceChecks& checks, Store& source, const EachRecord& each,
                         const std::function<Result<void>()>& forget);

/// Forgets the bundles that read any of the damaged bytes, and the front, which is made of bundles.
Result<void> ForgetDamaged(const SourceChecks& checks, const EachRecord& each, Journal& journal);

}  // namespace ckpt
