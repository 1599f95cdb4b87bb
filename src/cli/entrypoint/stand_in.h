#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cli/entrypoint/contract.h"
#include "cli/remote.h"

namespace ckpt::contract {

/// gs://bucket/a as DIR/bucket/a of CKPT_GS_ROOT=DIR, for trials without a cloud; any other place,
/// and a bucket without that variable, as it is.
std::string Reached(std::string_view place, const Environment& environment);

/// Where the weights may be read, in the order of trying.
struct Candidate {
  std::string argument;  ///< what `ckpt convert` takes
  std::string shown;     ///< what the user called it
  bool is_usual = true;  ///< false: that nothing is there is no news
};
/// The places to try, and why nothing comes after them.
struct Candidates {
  std::vector<Candidate> places;
  Credentials credentials;
  std::optional<Error> beyond;  ///< of a further source that cannot be read; null for none
};
/// The places to try for the contract's source. Errors, where there is none: kNoCredential if the
/// source's credential is missing or unreadable; kUnavailable, with the words that will do, for
/// what cannot be read yet.
Result<Candidates> FindCandidates(const Contract& contract, const Environment& environment);

/// The folder that outputs are written below. Errors: kCannotCreate for a bucket whose stand-in
/// does not exist (it is never made silently).
Result<std::string> FindDestination(const Contract& contract, const Environment& environment);

}  // namespace ckpt::contract
