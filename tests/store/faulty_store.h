#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "store/store.h"

namespace ckpt {

/// Where a fault can be put: the calls of Store and of what it hands out. kRead and kWrite are both
/// kinds of each.
enum class FaultPoint : uint8_t {
  kList,
  kStat,
  kOpen,
  kRead,
  kCreate,
  kWrite,
  kSync,
  kCommit,
  kRemove
};
inline constexpr size_t kFaultPoints = 9;

/// The nth call (from 1, counted over the whole store) at `point` fails with `error`. A failed
/// write has written its first half; a failed commit has published nothing.
struct Fault {
  FaultPoint point = FaultPoint::kRead;
  uint64_t nth = 1;
  Error error{Code::kIo, "injected fault", {}, {}, "none: a test asked for it"};
  /// Instead: what happens just before that call, which then goes on. Another process's work.
  std::function<void()> meanwhile = {};
};

/// Calls by which a destination is looked at.
inline constexpr std::array kLooks = {FaultPoint::kList, FaultPoint::kStat, FaultPoint::kOpen,
                                      FaultPoint::kRead};

/// `count` faults among the first `within` calls at any of `points`: the same for the same seed.
inline std::vector<Fault> RandomFaults(uint64_t seed, size_t count, std::vector<FaultPoint> points,
                                       uint64_t within) {
  std::mt19937_64 random(seed);
  std::vector<Fault> faults(count);
  for (Fault& fault : faults) {
    fault.point = points[random() % points.size()];
    fault.nth = 1 + random() % within;
  }
  return faults;
}

/// Thread-safe. Counts the calls, and knows which of them fail.
class FaultScript {
 public:
  explicit FaultScript(std::vector<Fault> faults) : faults_(std::move(faults)) {}

  /// Counts one call; the error if it is to fail.
  std::optional<Error> Hit(FaultPoint point) {
    const uint64_t nth = [&] {
      const std::lock_guard lock(mutex_);
      return ++counts_[static_cast<size_t>(point)];
    }();
    for (const Fault& fault : faults_) {
      if (fault.point != point || fault.nth != nth) continue;
      if (!fault.meanwhile) return fault.error;
      fault.meanwhile();
    }
    return std::nullopt;
  }
  uint64_t Count(FaultPoint point) const {
    const std::lock_guard lock(mutex_);
    return counts_[static_cast<size_t>(point)];
  }
  void CutObject(std::string name, uint64_t size_bytes) {
    const std::lock_guard lock(mutex_);
    cuts_[std::move(name)] = size_bytes;
  }
  /// The error of a read that goes beyond where the object was cut.
  std::optional<Error> BeyondCut(const std::string& name, const ByteRange& range) const {
    const std::lock_guard lock(mutex_);
    const auto cut = cuts_.find(name);
    if (cut == cuts_.end() || range.end <= cut->second) return std::nullopt;
    return Error{Code::kBadInput,
                 "ends at byte " + std::to_string(cut->second) + ", " + std::to_string(range.end) +
                     " expected: cut by a test",
                 {},
                 {{"byte", ToString(range)}, {"file", name}},
                 ""};
  }

 private:
  const std::vector<Fault> faults_;
  mutable std::mutex mutex_;
  std::array<uint64_t, kFaultPoints> counts_{};
  std::map<std::string, uint64_t> cuts_;
};

inline IoFuture ReadyFuture(Result<void> result) {
  std::promise<Result<void>> done;
  done.set_value(std::move(result));
  return done.get_future();
}

class FaultyReader final : public ObjectReader {
 public:
  FaultyReader(FaultScript& script, std::unique_ptr<ObjectReader> inner)
      : script_(script), inner_(std::move(inner)) {}
  const ObjectInfo& info() const override { return inner_->info(); }
  IoFuture ReadWindow(ByteRange range, std::span<std::byte> window) override {
    if (auto error = Failure(range)) return ReadyFuture(Fail(*std::move(error)));
    return inner_->ReadWindow(range, window);
  }
  Result<void> Read(ByteRange range, std::span<std::byte> into) override {
    if (auto error = Failure(range)) return Fail(*std::move(error));
    return inner_->Read(range, into);
  }

 private:
  std::optional<Error> Failure(ByteRange range) {
    if (auto error = script_.Hit(FaultPoint::kRead)) return error;
    return script_.BeyondCut(info().name, range);
  }
  FaultScript& script_;
  std::unique_ptr<ObjectReader> inner_;
};

class FaultyWriter final : public ObjectWriter {
 public:
  FaultyWriter(FaultScript& script, std::unique_ptr<ObjectWriter> inner)
      : script_(script), inner_(std::move(inner)) {}
  Result<void> Append(std::span<const std::byte> bytes) override {
    auto error = script_.Hit(FaultPoint::kWrite);
    CKPT_TRY_VOID(inner_->Append(error ? bytes.first(bytes.size() / 2) : bytes));
    if (error) return Fail(*std::move(error));
    return {};
  }
  Result<ObjectInfo> Commit() override {
    if (auto error = script_.Hit(FaultPoint::kCommit)) return Fail(*std::move(error));
    return inner_->Commit();
  }

 private:
  FaultScript& script_;
  std::unique_ptr<ObjectWriter> inner_;
};

class FaultyPositionedWriter final : public PositionedWriter {
 public:
  FaultyPositionedWriter(FaultScript& script, std::unique_ptr<PositionedWriter> inner)
      : script_(script), inner_(std::move(inner)) {}
  uint64_t alignment() const override { return inner_->alignment(); }
  IoFuture WriteAt(uint64_t offset, std::span<const std::byte> bytes) override {
    auto error = script_.Hit(FaultPoint::kWrite);
    if (!error) return inner_->WriteAt(offset, bytes);
    Result<void> half = inner_->WriteAt(offset, bytes.first(bytes.size() / 2)).get();
    return ReadyFuture(half ? Result<void>(Fail(*std::move(error))) : std::move(half));
  }
  Result<std::string> Settle(ByteRange range) override {
    if (auto error = script_.Hit(FaultPoint::kSync)) return Fail(*std::move(error));
    return inner_->Settle(range);
  }
  Result<void> TakeOver(ByteRange range, std::string_view receipt) override {
    return inner_->TakeOver(range, receipt);
  }
  std::string session() const override { return inner_->session(); }
  Result<ObjectInfo> Commit() override {
    if (auto error = script_.Hit(FaultPoint::kCommit)) return Fail(*std::move(error));
    return inner_->Commit();
  }

 private:
  FaultScript& script_;
  std::unique_ptr<PositionedWriter> inner_;
};

/// Thread-safe. Any store, with scripted failures and no delays. With an empty script it only
/// counts: a first run tells how many calls there are, further runs fail each of them in turn.
class FaultyStore final : public Store {
 public:
  explicit FaultyStore(std::unique_ptr<Store> inner, std::vector<Fault> faults = {})
      : inner_(std::move(inner)), script_(std::move(faults)) {}

  uint64_t Count(FaultPoint point) const { return script_.Count(point); }
  /// From now on the object ends at `size_bytes` for readers, although Stat() and List() say what
  /// they said.
  void CutObject(std::string name, uint64_t size_bytes) {
    script_.CutObject(std::move(name), size_bytes);
  }

  const Uri& root() const override { return inner_->root(); }
  bool KeepsObjects() const override { return inner_->KeepsObjects(); }
  Result<std::vector<ObjectInfo>> List(std::string_view prefix, std::stop_token stop) override {
    if (auto error = script_.Hit(FaultPoint::kList)) return Fail(*std::move(error));
    return inner_->List(prefix, std::move(stop));
  }
  Result<ObjectInfo> Stat(std::string_view name) override {
    if (auto error = script_.Hit(FaultPoint::kStat)) return Fail(*std::move(error));
    return inner_->Stat(name);
  }
  Result<std::unique_ptr<ObjectReader>> Open(const ObjectInfo& info) override {
    if (auto error = script_.Hit(FaultPoint::kOpen)) return Fail(*std::move(error));
    CKPT_TRY(std::unique_ptr<ObjectReader> reader, inner_->Open(info));
    return std::make_unique<FaultyReader>(script_, std::move(reader));
  }
  Result<std::unique_ptr<ObjectWriter>> Create(std::string_view name,
                                               CreateOptions options) override {
    if (auto error = script_.Hit(FaultPoint::kCreate)) return Fail(*std::move(error));
    CKPT_TRY(std::unique_ptr<ObjectWriter> writer, inner_->Create(name, options));
    return std::make_unique<FaultyWriter>(script_, std::move(writer));
  }
  Result<std::unique_ptr<PositionedWriter>> CreatePositioned(std::string_view name,
                                                             uint64_t size_bytes,
                                                             CreateOptions options) override {
    if (auto error = script_.Hit(FaultPoint::kCreate)) return Fail(*std::move(error));
    CKPT_TRY(std::unique_ptr<PositionedWriter> writer,
             inner_->CreatePositioned(name, size_bytes, options));
    return std::make_unique<FaultyPositionedWriter>(script_, std::move(writer));
  }
  bool RenamesFolders() const override { return inner_->RenamesFolders(); }
  Result<void> RenameFolder(std::string_view from, std::string_view to) override {
    if (auto error = script_.Hit(FaultPoint::kCommit)) return Fail(*std::move(error));
    return inner_->RenameFolder(from, to);
  }
  Result<std::unique_ptr<ObjectReader>> OpenUnfinished(std::string_view name,
                                                       std::string_view session) override {
    return inner_->OpenUnfinished(name, session);
  }
  Result<void> Remove(std::string_view name) override {
    if (auto error = script_.Hit(FaultPoint::kRemove)) return Fail(*std::move(error));
    return inner_->Remove(name);
  }
  Result<void> DropUnfinished(std::string_view name, std::string_view session) override {
    if (auto error = script_.Hit(FaultPoint::kRemove)) return Fail(*std::move(error));
    return inner_->DropUnfinished(name, session);
  }
  Result<size_t> DropUnfinishedBelow(std::string_view folder) override {
    if (auto error = script_.Hit(FaultPoint::kRemove)) return Fail(*std::move(error));
    return inner_->DropUnfinishedBelow(folder);
  }

 private:
  std::unique_ptr<Store> inner_;
  FaultScript script_;
};

}  // namespace ckpt
