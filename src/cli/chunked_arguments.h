#pragma once

#include "cli/arguments.h"
#include "cli/faults.h"

namespace ckpt {

/// The options that only a target of chunked arrays (maxtext) has.
void AddChunkedOptions(Options& options, Arguments& arguments);

/// Those words as settings: outputs and their places, dtype, compression, layouts, mesh. Also the
/// common root of DEST and all outputs.
void ParseChunked(const Arguments& arguments, Settings& settings, Faults& faults);

/// Says which of those options were given to a target that has none of them.
void RefuseChunkedOptions(const Arguments& arguments, Faults& faults);

/// "fsdp=16,tensor=4" as devices by axis. Errors: kUsage.
Result<Mesh> ParseMesh(std::string_view text);

}  // namespace ckpt
