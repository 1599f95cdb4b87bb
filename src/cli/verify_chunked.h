#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "cli/arguments.h"

namespace ckpt {

/// Whether a report is that of a target of chunked arrays.
bool IsChunkedReport(const nlohmann::json& report);

/// The folder that a report of chunked outputs lies in, and which of them is meant.
struct ReportPlace {
  std::string root;
  std::string part = {};  ///< "" for all outputs, else a path below root: "int8", "bf16/scanned/0"
  std::string state_name = {};  ///< of the run whose report it is, where several share the folder
};
/// `dest` itself, or the nearest folder above it whose report tells of an output that `dest` is,
/// lies in or holds; `dest` where there is none.
ReportPlace FindReport(const std::string& dest);

/// What verifying came to.
struct Verified {
  size_t arrays = 0;
  uint64_t bytes = 0;
};

/// Names, types, shapes, chunk grids and checksums of every output below `dest`, held to the
/// report. The report is input like any other. Errors: kBadInput, all that differs at once.
Result<Verified> HoldChunkedToReport(const ReportPlace& place, const nlohmann::json& report,
                                     const Settings& settings);

/// Converts the source again and compares every byte of every file.
Result<Verified> HoldChunkedToSource(const std::string& dest, const nlohmann::json& report,
                                     const Arguments& arguments, Settings settings);

}  // namespace ckpt
