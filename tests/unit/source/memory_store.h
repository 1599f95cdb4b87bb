#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "store/store.h"
#include "tests/read_file.h"

namespace ckpt {

/// A store in memory, for tests. Thread-safe. Counts what is read; the generation of an object is
/// its content's count of writes, so that a replaced object is told from the one that was opened.
class MemoryStore : public Store {
 public:
  MemoryStore() : root_(*Uri::Parse("/memory")) {}

  void Put(std::string name, std::string bytes) {
    const std::lock_guard lock(mutex_);
    const uint64_t writes = objects_.contains(name) ? objects_[name].writes + 1 : 1;
    objects_[std::move(name)] = {std::make_shared<const std::string>(std::move(bytes)), writes};
  }
  /// All files below a folder of this machine, under their relative names.
  static std::shared_ptr<MemoryStore> OfFolder(const std::filesystem::path& folder) {
    auto store = std::make_shared<MemoryStore>();
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
      if (!entry.is_regular_file()) continue;
      store->Put(std::filesystem::relative(entry.path(), folder).generic_string(),
                 ReadFile(entry.path()));
    }
    return store;
  }

  std::string Get(const std::string& name) const {
    const std::lock_guard lock(mutex_);
    return *objects_.at(name).bytes;
  }
  bool Has(const std::string& name) const {
    const std::lock_guard lock(mutex_);
    return objects_.contains(name);
  }
  uint64_t reads() const { return counts_->Reads(); }
  uint64_t read_bytes() const { return counts_->Bytes(); }

  const Uri& root() const override { return root_; }

  Result<std::vector<ObjectInfo>> List(std::string_view prefix, std::stop_token /*stop*/) override {
    const std::lock_guard lock(mutex_);
    const std::string folder = prefix.empty() ? "" : std::string(prefix) + "/";
    std::vector<ObjectInfo> found;
    for (const auto& [name, object] : objects_) {
      if (name.starts_with(folder)) found.push_back(Info(name, object));
    }
    return found;
  }

  Result<ObjectInfo> Stat(std::string_view name) override {
    const std::lock_guard lock(mutex_);
    const auto at = objects_.find(std::string(name));
    if (at == objects_.end())
      return Fail(Code::kNotFound, fmt::format("no object {}", name), "check the name");
    return Info(at->first, at->second);
  }

  Result<std::unique_ptr<ObjectReader>> Open(const ObjectInfo& info) override {
    CKPT_TRY(const ObjectInfo now, Stat(info.name));
    if (now.generation != info.generation)
      return Fail(Code::kBadInput, "the object is another one now", "start again");
    const std::lock_guard lock(mutex_);
    return std::make_unique<Reader>(now, objects_[info.name].bytes, counts_);
  }

  Result<std::unique_ptr<ObjectWriter>> Create(std::string_view name,
                                               CreateOptions options) override {
    CKPT_TRY_VOID(CheckCreate(name, options));
    return std::make_unique<Writer>(*this, std::string(name), std::move(options));
  }

  Result<std::unique_ptr<PositionedWriter>> CreatePositioned(std::string_view name,
                                                             uint64_t size_bytes,
                                                             CreateOptions options) override {
    CKPT_TRY_VOID(CheckCreate(name, options));
    auto bytes = std::make_shared<std::string>(size_bytes, '\0');
    if (options.is_kept) {
      const std::lock_guard lock(mutex_);
      std::shared_ptr<std::string>& kept = unfinished_[std::string(name)];
      if (!options.session.empty() && (!kept || kept->size() != size_bytes))
        return Fail(Code::kNotFound, "the unfinished object is gone", "run again");
      if (!kept || kept->size() != size_bytes) kept = bytes;
      bytes = kept;
    }
    return std::make_unique<AtWriter>(*this, std::string(name), std::move(bytes),
                                      std::move(options));
  }
  Result<void> DropUnfinished(std::string_view name, std::string_view /*session*/) override {
    const std::lock_guard lock(mutex_);
    unfinished_.erase(std::string(name));
    return {};
  }
  Result<std::unique_ptr<ObjectReader>> OpenUnfinished(std::string_view name,
                                                       std::string_view /*session*/) override {
    const std::lock_guard lock(mutex_);
    const auto kept = unfinished_.find(std::string(name));
    if (kept == unfinished_.end()) return std::unique_ptr<ObjectReader>();
    return std::make_unique<Reader>(ObjectInfo{std::string(name), kept->second->size(), {}, 0, {}},
                                    std::make_shared<const std::string>(*kept->second), counts_);
  }

  Result<void> Remove(std::string_view name) override {
    const std::lock_guard lock(mutex_);
    objects_.erase(std::string(name));
    return {};
  }

 private:
  struct Object {
    std::shared_ptr<const std::string>
        bytes;  // shared: readers keep the generation that they opened
    uint64_t writes = 0;
  };

  class Counts {
   public:
    void Add(uint64_t bytes) {
      const std::lock_guard lock(mutex_);
      ++reads_;
      bytes_ += bytes;
    }
    uint64_t Reads() const {
      const std::lock_guard lock(mutex_);
      return reads_;
    }
    uint64_t Bytes() const {
      const std::lock_guard lock(mutex_);
      return bytes_;
    }

   private:
    mutable std::mutex mutex_;
    uint64_t reads_ = 0;
    uint64_t bytes_ = 0;
  };

  static IoFuture Ready(Result<void> result) {
    std::promise<Result<void>> promise;
    promise.set_value(std::move(result));
    return promise.get_future();
  }

  class Reader : public ObjectReader {
   public:
    Reader(ObjectInfo info, std::shared_ptr<const std::string> bytes,
           std::shared_ptr<Counts> counts)
        : info_(std::move(info)), bytes_(std::move(bytes)), counts_(std::move(counts)) {}
    const ObjectInfo& info() const override { return info_; }
    IoFuture ReadWindow(ByteRange range, std::span<std::byte> window) override {
      return Ready(Read(range, window.subspan(range.begin % kIoAlignment, range.size())));
    }
    Result<void> Read(ByteRange range, std::span<std::byte> into) override {
      counts_->Add(range.size());
      if (range.end > bytes_->size())
        return Fail(Code::kBadInput, fmt::format("bytes {} lie beyond the end", ToString(range)),
                    "fetch it again");
      if (!into.empty()) std::memcpy(into.data(), bytes_->data() + range.begin, into.size());
      return {};
    }

   private:
    ObjectInfo info_;
    std::shared_ptr<const std::string> bytes_;
    std::shared_ptr<Counts> counts_;
  };

  class Writer : public ObjectWriter {
   public:
    Writer(MemoryStore& store, std::string name, CreateOptions options)
        : store_(store), name_(std::move(name)), options_(std::move(options)) {}
    Result<void> Append(std::span<const std::byte> bytes) override {
      bytes_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
      return {};
    }
    Result<ObjectInfo> Commit() override {
      return store_.Publish(name_, std::move(bytes_), options_);
    }

   private:
    MemoryStore& store_;
    std::string name_;
    CreateOptions options_;
    std::string bytes_;
  };

  class AtWriter : public PositionedWriter {
   public:
    AtWriter(MemoryStore& store, std::string name, std::shared_ptr<std::string> bytes,
             CreateOptions options)
        : store_(store),
          name_(std::move(name)),
          options_(std::move(options)),
          bytes_(std::move(bytes)) {}
    IoFuture WriteAt(uint64_t offset, std::span<const std::byte> bytes) override {
      if (offset > bytes_->size() || bytes.size() > bytes_->size() - offset)
        return Ready(Fail(Code::kIo, "a write beyond the end"));
      if (!bytes.empty()) std::memcpy(bytes_->data() + offset, bytes.data(), bytes.size());
      return Ready({});
    }
    std::string session() const override { return options_.is_kept ? "memory" : ""; }
    Result<std::string> Settle(ByteRange /*range*/) override { return std::string(); }
    Result<void> TakeOver(ByteRange /*range*/, std::string_view /*receipt*/) override { return {}; }
    Result<ObjectInfo> Commit() override {
      CKPT_TRY(ObjectInfo info, store_.Publish(name_, *bytes_, options_));
      if (options_.is_kept) CKPT_TRY_VOID(store_.DropUnfinished(name_, "memory"));
      return info;
    }

   private:
    MemoryStore& store_;
    std::string name_;
    CreateOptions options_;
    std::shared_ptr<std::string> bytes_;  // shared: others may write the same kept object
  };

  static ObjectInfo Info(const std::string& name, const Object& object) {
    return {name, object.bytes->size(), {std::to_string(object.writes)}, 0, std::nullopt};
  }

  Result<void> CheckCreate(std::string_view name, const CreateOptions& options) const {
    CKPT_TRY_VOID(SafeName(name));
    if (options.is_create_only && Has(std::string(name)))
      return Fail(Code::kCannotCreate, fmt::format("{} exists", name), "name another");
    return {};
  }

  Result<ObjectInfo> Publish(const std::string& name, std::string bytes,
                             const CreateOptions& options) {
    CKPT_TRY_VOID(CheckCreate(name, options));
    Put(name, std::move(bytes));
    return Stat(name);
  }

  const Uri root_;
  mutable std::mutex mutex_;
  std::map<std::string, Object> objects_;
  std::map<std::string, std::shared_ptr<std::string>> unfinished_;  // kept ones
  std::shared_ptr<Counts> counts_ = std::make_shared<Counts>();     // shared with the readers
};

}  // namespace ckpt
