#pragma once

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "run/journal.h"
#include "run/mark.h"
#include "run/report.h"
#include "tests/unit/source/memory_store.h"

namespace ckpt {

/// A store in memory with a clock, unfinished uploads and removals that fail: what a run in a
/// bucket (or, with `is_folder`, on a disk) leaves can be laid out in it. Not thread-safe.
class StateStore final : public MemoryStore {
 public:
  static constexpr int64_t kSecond = 1'000'000'000;

  explicit StateStore(bool is_folder = false) : is_folder_(is_folder) {}

  int64_t clock_ns = 1'000'000 * kSecond;                 ///< what is written now has this time
  std::set<std::pair<std::string, std::string>> uploads;  ///< object, session
  uint64_t fail_at = 0;   ///< the removal that fails, counted from 1
  uint64_t removals = 0;  ///< so far, failed ones included
  uint64_t writes = 0;

  void PutAged(const std::string& name, std::string bytes, int64_t seconds) {
    Put(name, std::move(bytes));
    times_[name] = clock_ns - seconds * kSecond;
  }
  /// Every object with its bytes.
  std::map<std::string, std::string> All() {
    std::map<std::string, std::string> all;
    const auto objects = *List("", {});
    for (const ObjectInfo& object : objects) all[object.name] = Get(object.name);
    return all;
  }

  Result<std::vector<ObjectInfo>> List(std::string_view prefix, std::stop_token stop) override {
    CKPT_TRY(std::vector<ObjectInfo> objects, MemoryStore::List(prefix, std::move(stop)));
    for (ObjectInfo& object : objects) object.modified_ns = TimeOf(object.name);
    return objects;
  }
  Result<ObjectInfo> Stat(std::string_view name) override {
    CKPT_TRY(ObjectInfo object, MemoryStore::Stat(name));
    object.modified_ns = TimeOf(object.name);
    return object;
  }
  Result<std::unique_ptr<ObjectWriter>> Create(std::string_view name,
                                               CreateOptions options) override {
    ++writes;
    times_.erase(std::string(name));
    return MemoryStore::Create(name, std::move(options));
  }
  bool RenamesFolders() const override { return is_folder_; }
  Result<void> Remove(std::string_view name) override {
    CKPT_TRY_VOID(CountRemoval());
    return MemoryStore::Remove(name);
  }
  Result<void> DropUnfinished(std::string_view name, std::string_view session) override {
    CKPT_TRY_VOID(CountRemoval());
    uploads.erase({std::string(name), std::string(session)});
    if (is_folder_) return MemoryStore::Remove(std::string(name) + ".part");
    return {};
  }
  Result<size_t> DropUnfinishedBelow(std::string_view folder) override {
    CKPT_TRY_VOID(CountRemoval());
    const std::string below = folder.empty() ? "" : std::string(folder) + "/";
    return std::erase_if(uploads, [&](const auto& one) { return one.first.starts_with(below); });
  }

 private:
  int64_t TimeOf(const std::string& name) const {
    const auto found = times_.find(name);
    return found == times_.end() ? clock_ns : found->second;
  }
  Result<void> CountRemoval() {
    if (++removals != fail_at) return {};
    return Fail(Code::kIo, "injected fault", "none: a test asked for it");
  }

  const bool is_folder_;
  std::map<std::string, int64_t> times_;
};

/// What a shard says, begun 100 s before it said so.
struct SaidNote {
  unsigned shard = 0;
  unsigned shards = 1;
  std::string state = "running";
  int64_t age_s = 5;
  uint64_t done = 0;
  uint64_t total = 0;
  uint64_t written_bytes = 0;
  std::string error = {};
};

inline void PutNote(StateStore& store, const SaidNote& note, const std::string& state_name = "") {
  const std::string error = note.error.empty() ? "null" : "\"" + note.error + "\"";
  store.PutAged(
      fmt::format("{}/shards/{:05}-of-{:05}.json", StateFolder(state_name), note.shard,
                  note.shards),
      fmt::format(R"({{"shard":{},"shards":{},"state":"{}","error":{},"bundles_done":{},)"
                  R"("bundles_total":{},"read_bytes":7,"written_bytes":{},"open":[4],)"
                  R"("started":"2026-11-29T00:00:20Z","updated":"2026-11-29T00:02:00Z"}})",
                  note.shard, note.shards, note.state, error, note.done, note.total,
                  note.written_bytes),
      note.age_s);
}

inline void PutRecord(StateStore& store, uint32_t number, const std::string& state_name = "") {
  store.PutAged(fmt::format("{}/journal/{:06}", StateFolder(state_name), number), "record", 60);
}

/// As the mark of a run of so long ago.
inline void PutMark(StateStore& store, const Mark& mark, int64_t age_s = 3600,
                    const std::string& state_name = "") {
  EXPECT_TRUE(ReplaceMark(store, state_name, mark));
  const std::string name = MarkName(state_name);
  store.PutAged(name, store.Get(name), age_s);
}

/// The mark of a run that writes three outputs, in a bucket or (through temporary folders) on a
/// disk.
inline Mark MarkOfThree(bool is_folder) {
  Mark mark;
  mark.run_digest = std::string(64, 'a');
  mark.target = "maxtext";
  mark.source = "hf://org/model@1";
  mark.bundles = 11;
  mark.written_bytes = 1000;
  mark.files = {"int8_weight_only.json"};
  for (const std::string root : {"bf16/scanned/0", "bf16/unscanned", "int8"}) {
    mark.folders.push_back(is_folder ? root + ".orbax-checkpoint-tmp-7" : root);
    mark.done.push_back(root + "/_CHECKPOINT_METADATA");
  }
  return mark;
}

/// The mark of a run that writes one file.
inline Mark MarkOfFile() {
  Mark mark;
  mark.run_digest = std::string(64, 'b');
  mark.target = "jetstream-pytorch";
  mark.source = "/models/llama";
  mark.bundles = 9;
  mark.written_bytes = 500;
  mark.files = {"model.safetensors", "params.json"};
  mark.done = {"model.safetensors"};
  return mark;
}

}  // namespace ckpt
