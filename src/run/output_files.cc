#include "run/output_files.h"

#include <algorithm>
#include <utility>

#include "store/ready.h"

namespace ckpt {
namespace {

class FinishedWriter final : public PositionedWriter {
 public:
  FinishedWriter(std::string name, uint64_t size_bytes) {
    info_.name = std::move(name);
    info_.size_bytes = size_bytes;
  }
  uint64_t alignment() const override { return 1; }
  IoFuture WriteAt(uint64_t /*offset*/, std::span<const std::byte> /*bytes*/) override {
    return Ready({});
  }
  Result<std::string> Settle(ByteRange /*range*/) override { return std::string(); }
  Result<void> TakeOver(ByteRange /*range*/, std::string_view /*receipt*/) override { return {}; }
  Result<ObjectInfo> Commit() override { return info_; }

 private:
  ObjectInfo info_;
};

}  // namespace

CreateOptions FileOptions(const Plan& plan, size_t file) {
  CreateOptions options{.is_create_only = true};
  const uint64_t base = plan.output.files[file].base;
  for (const Bundle& bundle : plan.bundles) {
    if (bundle.file == file) options.borders.push_back(bundle.segment.begin - base);
  }
  for (const CommitRange& range : plan.commits) {
    if (range.file == file && range.segment.begin > base)
      options.borders.push_back(range.segment.begin - base);
  }
  std::sort(options.borders.begin(), options.borders.end());
  return options;
}

Result<std::unique_ptr<OutputFiles>> MakeOutputFiles(const Plan& plan, Store& destination) {
  std::vector<std::shared_ptr<PositionedWriter>> writers;
  for (size_t i = 0; i < plan.output.files.size(); ++i) {
    const FileSpec& file = plan.output.files[i];
    CKPT_TRY(std::unique_ptr<PositionedWriter> writer,
             destination.CreatePositioned(file.name, file.size_bytes, FileOptions(plan, i)));
    writers.push_back(std::move(writer));
  }
  return std::make_unique<OpenFiles>(std::move(writers));
}

std::unique_ptr<PositionedWriter> MakeFinishedWriter(std::string name, uint64_t size_bytes) {
  return std::make_unique<FinishedWriter>(std::move(name), size_bytes);
}

}  // namespace ckpt
