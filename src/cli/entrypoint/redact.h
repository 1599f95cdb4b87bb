#pragma once

#include <string>
#include <string_view>

namespace ckpt::contract {

/// The text without what a log must not show: queries and users of URLs, tokens of the hubs,
/// signatures. Whatever leaves the contract goes through it, so that no way of giving a secret
/// shows it.
std::string HideSecrets(std::string_view text);

/// A word of the user as it may stand in a line: no secret, no control character.
std::string Redacted(std::string_view word);

}  // namespace ckpt::contract
