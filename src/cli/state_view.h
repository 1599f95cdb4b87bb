#pragma once

#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <string_view>

#include "run/clean.h"
#include "run/status.h"

namespace ckpt {

/// How far a run is, for people: some lines. `place`: its destination, as printed.
std::string StatusText(std::string_view place, const RunStatus& run);
/// The same as one JSON object (docs/formats/journal.md).
nlohmann::ordered_json StatusJson(const RunStatus& run);

/// What was removed, or would be: some lines.
std::string CleanedText(std::string_view place, const Cleaned& cleaned, bool is_dry_run);
nlohmann::ordered_json CleanedJson(const Cleaned& cleaned, bool is_dry_run);

/// "1, 4-6, 8-10", at most `most` of them, then "and N more".
std::string RangesText(std::span<const NumberRange> ranges, size_t most);
/// "5 s ago", "2 min ago", "3 h ago", "4 d ago".
std::string AgoText(double seconds);

}  // namespace ckpt
