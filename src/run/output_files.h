#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "plan/plan.h"
#include "store/store.h"

namespace ckpt {

/// The files of an output while they are filled. Thread-safe.
class OutputFiles {
 public:
  virtual ~OutputFiles() = default;
  /// A writer of plan.output.files[file]: the same for all who ask, or one of the caller's own that
  /// others go on with once its bytes are settled. Offsets are the file's.
  virtual Result<std::shared_ptr<PositionedWriter>> Open(size_t file) = 0;
};

/// Files whose only writers are open all the time.
class OpenFiles final : public OutputFiles {
 public:
  explicit OpenFiles(std::vector<std::shared_ptr<PositionedWriter>> writers)
      : writers_(std::move(writers)) {}
  Result<std::shared_ptr<PositionedWriter>> Open(size_t file) override { return writers_[file]; }

 private:
  std::vector<std::shared_ptr<PositionedWriter>> writers_;
};

/// How a file of the plan is made: the borders of its segments.
CreateOptions FileOptions(const Plan& plan, size_t file);

/// New files of a store that keeps nothing.
Result<std::unique_ptr<OutputFiles>> MakeOutputFiles(const Plan& plan, Store& destination);

/// A file that stands under its name already: what is written goes nowhere.
std::unique_ptr<PositionedWriter> MakeFinishedWriter(std::string name, uint64_t size_bytes);

}  // namespace ckpt
