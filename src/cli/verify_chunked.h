#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "cli/arguments.h"

namespace ckpt {

/// Whether a report is that of a target of chunked arrays.
bool IsChunkedReport(const nlohmann::json& report);

/// What verifying came to.
struct Verified {
  size_t arrays = 0;
  uint64_t bytes = 0;
};

/// Names, types, shapes, chunk grids and checksums of every output below `dest`, held to the
/// report. The report is input like any other. Errors: kBadInput, all that differs at once.
Result<Verified> HoldChunkedToReport(const std::string& dest, const nlohmann::json& report,
                                     const Settings& settings);

/// Converts the source again and compares every byte of every file.
Result<Verified> HoldChunkedToSource(const std::string& dest, const nlohmann::json& report,
                                     const Arguments& arguments, Settings settings);

}  // namespace ckpt
