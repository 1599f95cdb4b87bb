#include "run/shard_log.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <array>
#include <ctime>
#include <nlohmann/json.hpp>

#include "base/json_text.h"
#include "run/journal.h"

namespace ckpt {
namespace {

constexpr auto kEvery = std::chrono::seconds(2);
constexpr uint64_t kMostShardNoteBytes = 1ULL << 20;
constexpr int kReadTries = 4;
constexpr std::array<std::string_view, 4> kStates = {"running", "stopped", "failed", "done"};

std::string Now() { return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr))); }

std::string Print(const ShardNote& note) {
  const nlohmann::ordered_json json = {
      {"shard", note.part.index},
      {"shards", note.part.count},
      {"state", Name(note.state)},
      {"error", note.error.empty() ? nlohmann::ordered_json() : nlohmann::ordered_json(note.error)},
      {"bundles_done", note.bundles_done},
      {"bundles_total", note.bundles_total},
      {"read_bytes", note.read_bytes},
      {"written_bytes", note.written_bytes},
      {"open", note.open},
      {"most_open_bytes", note.most_open_bytes},
      {"started", note.started},
      {"updated", note.updated}};
  return PrintJson(json) + "\n";
}

std::optional<ShardNote> Parse(const std::string& text) {
  const auto json = ParseJson(text);
  if (!json.is_object()) return std::nullopt;
  const auto number = [&](const char* key) -> uint64_t {
    const auto found = json.find(key);
    return found != json.end() && found->is_number_unsigned() ? found->get<uint64_t>() : 0;
  };
  const auto word = [&](const char* key) {
    const auto found = json.find(key);
    return found != json.end() && found->is_string() ? found->get<std::string>() : std::string();
  };
  ShardNote note;
  note.part = {static_cast<unsigned>(number("shard")), static_cast<unsigned>(number("shards"))};
  if (note.part.count == 0 || note.part.index >= note.part.count) return std::nullopt;
  size_t state = 0;
  while (state < kStates.size() && kStates.at(state) != word("state")) ++state;
  if (state == kStates.size()) return std::nullopt;
  note.state = static_cast<ShardNote::State>(state);
  note.error = word("error");
  note.bundles_done = number("bundles_done");
  note.bundles_total = number("bundles_total");
  note.read_bytes = number("read_bytes");
  note.written_bytes = number("written_bytes");
  if (const auto open = json.find("open"); open != json.end() && open->is_array()) {
    for (const auto& bundle : *open) {
      if (bundle.is_number_unsigned()) note.open.push_back(bundle.get<uint32_t>());
    }
  }
  note.most_open_bytes = number("most_open_bytes");
  note.started = word("started");
  note.updated = word("updated");
  return note;
}

}  // namespace

std::string_view Name(ShardNote::State state) { return kStates.at(static_cast<size_t>(state)); }

Result<std::vector<ShardNote>> ReadShardNotes(Store& store, std::string_view state_name) {
  CKPT_TRY(const std::vector<ObjectInfo> objects,
           store.List(fmt::format("{}/{}", StateFolder(state_name), kShardsFolder)));
  std::vector<ShardNote> notes;
  for (const ObjectInfo& object : objects) {
    if (!object.name.ends_with(".json")) continue;
    Result<std::string> text = store.ReadWhole(object.name, kMostShardNoteBytes);
    // A new word may take its place while it is read; whoever runs must not be overlooked.
    for (int i = 1; i < kReadTries && !text && text.error().code == Code::kBadInput; ++i)
      text = store.ReadWhole(object.name, kMostShardNoteBytes);
    if (!text) {
      if (text.error().code == Code::kNotFound || text.error().code == Code::kBadInput) continue;
      return Fail(text.error());
    }
    std::optional<ShardNote> note = Parse(*text);
    if (!note) continue;
    note->updated_ns = object.modified_ns;
    notes.push_back(*std::move(note));
  }
  return notes;
}

ShardLog::ShardLog(Store& store, std::string_view state_name, Shard part)
    : store_(store),
      name_(fmt::format("{}/{}/{:05}-of-{:05}.json", StateFolder(state_name), kShardsFolder,
                        part.index, part.count)) {
  note_.part = part;
  note_.started = Now();
}

void ShardLog::Start(uint64_t total, uint64_t most_open_bytes, const Progress& progress) {
  {
    const std::lock_guard lock(mutex_);
    note_.bundles_total = total;
    note_.most_open_bytes = most_open_bytes;
    progress_ = &progress;
  }
  Write(false);
}

void ShardLog::Begin(uint32_t bundle) {
  {
    const std::lock_guard lock(mutex_);
    open_.insert(bundle);
  }
  Write(false);
}

void ShardLog::Done(uint32_t bundle) {
  {
    const std::lock_guard lock(mutex_);
    open_.erase(bundle);
    ++note_.bundles_done;
  }
  Write(false);
}

void ShardLog::Pulse() {
  {
    const std::lock_guard lock(mutex_);
    if (std::chrono::steady_clock::now() < next_ - kEvery + kQuietest) return;
  }
  Write(false);
}

void ShardLog::End(ShardNote::State state, std::string_view error) {
  {
    const std::lock_guard lock(mutex_);
    note_.state = state;
    note_.error = error;
  }
  Write(true);
  const std::lock_guard lock(mutex_);
  progress_ = nullptr;
}

// No lock is held while the note is written: lanes go on, and find the next one not due yet.
void ShardLog::Write(bool is_last) {
  std::string text;
  {
    const std::lock_guard lock(mutex_);
    const auto now = std::chrono::steady_clock::now();
    if (!is_last && (is_writing_ || now < next_)) return;
    is_writing_ = true;
    next_ = now + kEvery;
    if (progress_ != nullptr) {
      note_.read_bytes = progress_->read_bytes;
      note_.written_bytes = progress_->written_bytes;
    }
    note_.open.assign(open_.begin(), open_.end());
    note_.updated = Now();
    text = Print(note_);
  }
  (void)WriteSmallObject(store_, name_, text, {.is_create_only = false});
  const std::lock_guard lock(mutex_);
  is_writing_ = false;
}

}  // namespace ckpt
