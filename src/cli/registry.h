#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cli/remote.h"
#include "plan/chunked_target.h"
#include "plan/target.h"
#include "source/open.h"
#include "store/file/file_store.h"
#include "store/store.h"

namespace ckpt {

// The one place that names concrete stores and targets.

/// "auto", "direct", "buffered". kUsage otherwise.
Result<IoMode> ParseIoMode(std::string_view word);

/// How places are reached: of local files, and of all others (which may be null: then there are
/// none).
struct StoreAccess {
  IoMode io_mode = IoMode::kAuto;
  std::shared_ptr<Remote> remote;
};

/// Whether the words name a sink, or a bucket, which needs upload buffers. Touches nothing.
bool IsSink(const std::string& argument);
bool IsUploadedTo(const std::string& argument);

/// The store of a folder, bucket or sink that is written to. Upload buffers come from `budget`,
/// which outlives the store; null where the store is only looked at.
Result<std::shared_ptr<Store>> OpenDestination(const std::string& argument,
                                               const StoreAccess& access,
                                               MemoryBudget* budget = nullptr,
                                               const UploadBuffers& uploads = {});

/// Whether two stores are one place, however spelled.
bool IsSameFolder(const Store& a, const Store& b);

/// The store and object that a source argument names: a folder, or one file; of a bucket, a hub,
/// or this machine. kNotFound if there is nothing. What must be unpacked first is so under `budget`
/// (Remote::FindSource).
Result<SourcePlace> FindSource(const std::string& argument, const StoreAccess& access,
                               MemoryBudget* budget = nullptr);

/// By name; nullptr where there is none.
const Target* FindTarget(std::string_view name);
const ChunkedTarget* FindChunkedTarget(std::string_view name);
std::vector<std::string> TargetNames();

}  // namespace ckpt
