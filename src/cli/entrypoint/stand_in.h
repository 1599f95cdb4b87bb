#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cli/entrypoint/contract.h"

namespace ckpt::contract {

/// gs://bucket/a as DIR/bucket/a of CKPT_GS_ROOT=DIR, for trials without a cloud; a local path as
/// it is. kUnavailable for a bucket without that variable. `remedy`: what to do then.
Result<std::string> LocalPath(std::string_view place, const Environment& environment,
                              std::string_view remedy);

/// Where the weights may be read, in the order of trying.
struct Candidate {
  std::string argument;  ///< what `ckpt convert` takes
  std::string shown;     ///< what the user called it
};
/// The folders to try, and why nothing comes after them.
struct Candidates {
  std::vector<Candidate> places;
  std::optional<Error> beyond;  ///< of a further source that cannot be read; null for none
};
/// The folders to try for the contract's source. Errors, where there is none because the source is
/// of a kind that cannot be read yet: kNoCredential first if its credential is missing or
/// unreadable, else kUnavailable, with the words that will do.
Result<Candidates> FindCandidates(const Contract& contract, const Environment& environment);

/// The folder that outputs are written below. Errors: kCannotCreate for a bucket that does not
/// exist (it is never made silently); kUnavailable.
Result<std::string> FindDestination(const Contract& contract, const Environment& environment);

}  // namespace ckpt::contract
