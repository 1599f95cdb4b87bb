#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "plan/chunked_target.h"
#include "plan/target.h"
#include "source/open.h"
#include "store/file/file_store.h"
#include "store/store.h"

namespace ckpt {

// The one place that names concrete stores and targets.

/// "auto", "direct", "buffered". kUsage otherwise.
Result<IoMode> ParseIoMode(std::string_view word);

/// The store of a folder or sink that is written to.
Result<std::shared_ptr<Store>> OpenDestination(const std::string& argument, IoMode io_mode);

/// Whether two stores are one folder, however spelled.
bool IsSameFolder(const Store& a, const Store& b);

/// The store and object that a source argument names: a folder, or one file. kNotFound if there is
/// nothing.
Result<SourcePlace> FindSource(const std::string& argument, IoMode io_mode);

/// By name; nullptr where there is none.
const Target* FindTarget(std::string_view name);
const ChunkedTarget* FindChunkedTarget(std::string_view name);
std::vector<std::string> TargetNames();

}  // namespace ckpt
