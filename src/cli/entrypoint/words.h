#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/secret.h"
#include "cli/entrypoint/flags.h"
#include "cli/entrypoint/redact.h"
#include "cli/faults.h"

namespace ckpt::contract {

/// The argument list, with every spelling of every version resolved.
struct Words {
  std::map<Flag, std::string>
      values;       ///< cleaned; a flag without a value, or an empty one, is absent
  Secret meta_url;  ///< the value of the only secret flag
  bool wants_help = false;
  std::vector<std::string> warnings;  ///< what was read otherwise than it was written
  std::vector<std::string> notices;

  /// The value; "" where it was not given.
  const std::string& Get(Flag flag) const;
  bool Has(Flag flag) const { return values.contains(flag); }
};

/// Known words of --inference_server.
inline constexpr std::string_view kMaxTextServer = "jetstream-maxtext";
inline constexpr std::string_view kPytorchServer = "jetstream-pytorch";
bool IsServer(std::string_view word);

/// Reads the words after the program's name. What is wrong with them goes to `faults`.
Words ParseWords(std::span<const std::string> arguments, Faults& faults);

/// true t yes y on 1, false f no n off 0 in any case; nothing for another word.
std::optional<bool> ParseBoolean(std::string_view word);

}  // namespace ckpt::contract
