#include "store/null/null_store.h"

#include <fmt/format.h>

#include <map>
#include <mutex>
#include <utility>

#include "base/check.h"
#include "base/text.h"
#include "store/null/interval_crc.h"
#include "store/ready.h"

namespace ckpt {
namespace {

/// Thread-safe. What was committed.
class Committed {
 public:
  Result<void> CheckReplaceable(const std::string& name, const CreateOptions& options) {
    const std::lock_guard lock(mutex_);
    return Check(name, options);
  }

  Result<ObjectInfo> Commit(const std::string& name, const Crc32c& crc32c,
                            const CreateOptions& options) {
    const std::lock_guard lock(mutex_);
    CKPT_TRY_VOID(Check(name, options));
    ObjectInfo info{name, crc32c.size_bytes(), {std::to_string(++last_generation_)}, 0, crc32c};
    infos_.insert_or_assign(name, info);
    return info;
  }

  Result<ObjectInfo> Find(const std::string& name) const {
    const std::lock_guard lock(mutex_);
    const auto found = infos_.find(name);
    if (found == infos_.end())
      return Result<ObjectInfo>(Fail(Code::kNotFound, "nothing of that name was written here"))
          .map_error(Place(name));
    return found->second;
  }

  std::vector<ObjectInfo> Below(std::string_view prefix) const {
    const std::string folder = prefix.empty() ? "" : std::string(prefix) + "/";
    const std::lock_guard lock(mutex_);
    std::vector<ObjectInfo> infos;
    for (auto info = infos_.lower_bound(folder);
         info != infos_.end() && info->first.starts_with(folder); ++info)
      infos.push_back(info->second);
    return infos;
  }

  void Remove(const std::string& name) {
    const std::lock_guard lock(mutex_);
    infos_.erase(name);
  }

  static std::function<Error(Error)> Place(std::string_view name) {
    return Where("file", "null:/" + Printable(name));
  }

 private:
  Result<void> Check(const std::string& name, const CreateOptions& options) const {
    if (!options.is_create_only || !infos_.contains(name)) return {};
    return Result<void>(Fail(Code::kCannotCreate, "exists already",
                             "name another output, or replace this one with --overwrite"))
        .map_error(Place(name));
  }

  mutable std::mutex mutex_;
  std::map<std::string, ObjectInfo> infos_;
  uint64_t last_generation_ = 0;
};

class NullWriter final : public ObjectWriter {
 public:
  NullWriter(Committed& committed, std::string name, CreateOptions options)
      : committed_(committed), name_(std::move(name)), options_(std::move(options)) {}

  Result<void> Append(std::span<const std::byte> bytes) override {
    crc32c_.Append(bytes);
    return {};
  }
  Result<ObjectInfo> Commit() override { return committed_.Commit(name_, crc32c_, options_); }

 private:
  Committed& committed_;
  const std::string name_;
  const CreateOptions options_;
  Crc32c crc32c_;
};

class NullPositionedWriter final : public PositionedWriter {
 public:
  NullPositionedWriter(Committed& committed, std::string name, uint64_t size_bytes,
                       CreateOptions options)
      : committed_(committed),
        name_(std::move(name)),
        size_bytes_(size_bytes),
        options_(std::move(options)) {}

  IoFuture WriteAt(uint64_t offset, std::span<const std::byte> bytes) override {
    CKPT_CHECK(offset <= size_bytes_ && bytes.size() <= size_bytes_ - offset);
    const Crc32c crc32c = Crc32c::Of(bytes);
    return Ready(Add(offset, crc32c));
  }
  Result<std::string> Settle(ByteRange /*range*/) override { return std::string(); }
  Result<void> TakeOver(ByteRange /*range*/, std::string_view /*receipt*/) override { return {}; }
  Result<ObjectInfo> Commit() override {
    const std::lock_guard lock(mutex_);
    CKPT_TRY(const Crc32c crc32c, crcs_.Finish(size_bytes_).map_error(Committed::Place(name_)));
    return committed_.Commit(name_, crc32c, options_);
  }

 private:
  Result<void> Add(uint64_t offset, const Crc32c& crc32c) {
    const std::lock_guard lock(mutex_);
    return crcs_.Add(offset, crc32c).map_error(Committed::Place(name_));
  }

  Committed& committed_;
  const std::string name_;
  const uint64_t size_bytes_;
  const CreateOptions options_;
  std::mutex mutex_;
  IntervalCrc crcs_;
};

class NullStore final : public Store {
 public:
  explicit NullStore(Uri root) : root_(std::move(root)) {}

  const Uri& root() const override { return root_; }
  bool KeepsObjects() const override { return false; }

  Result<std::vector<ObjectInfo>> List(std::string_view prefix, std::stop_token /*stop*/) override {
    if (!prefix.empty()) CKPT_TRY_VOID(SafeName(prefix));
    return committed_.Below(prefix);
  }

  Result<ObjectInfo> Stat(std::string_view name) override {
    CKPT_TRY_VOID(SafeName(name));
    return committed_.Find(std::string(name));
  }

  Result<std::unique_ptr<ObjectReader>> Open(const ObjectInfo& info) override {
    CKPT_TRY_VOID(SafeName(info.name));
    return Result<std::unique_ptr<ObjectReader>>(Fail(Code::kNotFound,
                                                      "the null store keeps no bytes",
                                                      "write to a folder to read the output again"))
        .map_error(Committed::Place(info.name));
  }

  Result<std::unique_ptr<ObjectWriter>> Create(std::string_view name,
                                               CreateOptions options) override {
    CKPT_TRY_VOID(SafeName(name));
    CKPT_TRY_VOID(committed_.CheckReplaceable(std::string(name), options));
    return std::make_unique<NullWriter>(committed_, std::string(name), std::move(options));
  }

  Result<std::unique_ptr<PositionedWriter>> CreatePositioned(std::string_view name,
                                                             uint64_t size_bytes,
                                                             CreateOptions options) override {
    CKPT_TRY_VOID(SafeName(name));
    CKPT_TRY_VOID(committed_.CheckReplaceable(std::string(name), options));
    return std::make_unique<NullPositionedWriter>(committed_, std::string(name), size_bytes,
                                                  std::move(options));
  }

  Result<void> Remove(std::string_view name) override {
    CKPT_TRY_VOID(SafeName(name));
    committed_.Remove(std::string(name));
    return {};
  }

 private:
  const Uri root_;
  Committed committed_;
};

}  // namespace

std::unique_ptr<Store> OpenNullStore() {
  Result<Uri> root = Uri::Parse("null:");
  CKPT_CHECK(root.has_value());
  return std::make_unique<NullStore>(*std::move(root));
}

}  // namespace ckpt
