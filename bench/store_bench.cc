// Moves bytes through the store of a bucket alone: what reading and writing cost without a
// conversion. Beside it stands curl, which moves the same bytes (bench/stores.py).
//   store_bench write gs://BUCKET/OBJECT CONNECTIONS FILE...   files as one positioned object
//   store_bench read gs://BUCKET/FOLDER CONNECTIONS            all objects, dropped
// The bucket is that of STORAGE_EMULATOR_HOST.
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/buffer.h"
#include "base/environment.h"
#include "base/memory_budget.h"
#include "store/file/file_store.h"
#include "store/gs/gs_store.h"

namespace ckpt {
namespace {

constexpr uint64_t kSegmentBytes = 64ULL << 20;
constexpr uint64_t kStepBytes = 2ULL << 20;  // what a conversion's tile holds, about
constexpr uint64_t kBudgetBytes = 512ULL << 20;
constexpr unsigned kMostPartsInFlight = 8;
constexpr uint64_t kRangeBytes = 8ULL << 20;
constexpr uint64_t kWindowBytes = kRangeBytes + 2 * kIoAlignment;

unsigned Threads() { return std::max(1U, std::thread::hardware_concurrency()); }

// Where the object's bytes come from.
struct Segment {
  ObjectReader* reader;
  uint64_t source_begin;
  ByteRange range;  // of the object
};

Result<std::unique_ptr<Store>> OpenBucket(const Uri& root, unsigned connections,
                                          MemoryBudget& budget) {
  const Environment environment = [](const char* name) -> std::optional<std::string> {
    const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): nobody sets any
    return value == nullptr ? std::nullopt : std::optional<std::string>(value);
  };
  CKPT_TRY(const std::optional<http::Url> emulator, GsEmulator(environment));
  if (!emulator)
    return Fail(Code::kUsage, "STORAGE_EMULATOR_HOST is not set", "name the stand-in's address");
  http::EngineOptions options;
  options.connections = connections;
  options.trusted_origins = {emulator->Origin()};
  CKPT_TRY(std::shared_ptr<http::Engine> engine, http::Engine::Make(std::move(options)));
  CKPT_TRY(GsOptions gs, GsOptionsFromEnvironment(environment, std::move(engine)));
  gs.budget = &budget;
  gs.open_segments = Threads();
  gs.parts_in_flight = std::min(connections, kMostPartsInFlight);
  return OpenGsStore(root, std::move(gs));
}

Result<void> Send(const Segment& segment, PositionedWriter& writer, std::vector<std::byte>& spare) {
  for (uint64_t at = segment.range.begin; at < segment.range.end;) {
    const ByteRange step{at, std::min(segment.range.end, at + kStepBytes)};
    CKPT_TRY(std::span<std::byte> room, writer.Room(step));
    if (room.empty()) {  // over two parts
      spare.resize(step.size());
      room = spare;
    }
    const uint64_t source = segment.source_begin + (at - segment.range.begin);
    CKPT_TRY_VOID(segment.reader->Read({source, source + step.size()}, room));
    CKPT_TRY_VOID(writer.WriteAt(at, room).get());
    at = step.end;
  }
  return {};
}

Result<void> Upload(const Uri& folder, std::string_view name, unsigned connections,
                    const std::vector<std::filesystem::path>& files) {
  MemoryBudget budget(kBudgetBytes);
  CKPT_TRY(const std::unique_ptr<Store> bucket, OpenBucket(folder, connections, budget));
  std::vector<std::unique_ptr<Store>> sources;
  std::vector<std::unique_ptr<ObjectReader>> readers;
  std::vector<Segment> segments;
  CreateOptions options;
  uint64_t size_bytes = 0;
  for (const std::filesystem::path& file : files) {
    CKPT_TRY(const Uri parent, Uri::Parse(file.parent_path().string()));
    CKPT_TRY(std::unique_ptr<Store> store, OpenFileStore(parent));
    CKPT_TRY(const ObjectInfo info, store->Stat(file.filename().string()));
    CKPT_TRY(std::unique_ptr<ObjectReader> reader, store->Open(info));
    for (uint64_t at = 0; at < info.size_bytes; at += kSegmentBytes) {
      if (size_bytes > 0) options.borders.push_back(size_bytes);
      const uint64_t bytes = std::min(kSegmentBytes, info.size_bytes - at);
      segments.push_back({reader.get(), at, {size_bytes, size_bytes + bytes}});
      size_bytes += bytes;
    }
    sources.push_back(std::move(store));
    readers.push_back(std::move(reader));
  }
  CKPT_TRY(const std::unique_ptr<PositionedWriter> writer,
           bucket->CreatePositioned(name, size_bytes, options));
  std::atomic<size_t> next{0};
  std::mutex mutex;
  std::optional<Error> failure;
  {
    std::vector<std::jthread> threads;
    for (unsigned i = 0; i < Threads(); ++i)
      threads.emplace_back([&] {
        std::vector<std::byte> spare;
        for (size_t s = next++; s < segments.size(); s = next++) {
          Result<void> sent = Send(segments[s], *writer, spare);
          const std::lock_guard lock(mutex);
          if (!sent && !failure) failure = std::move(sent).error();
          if (failure) return;
        }
      });
  }
  if (failure) return Fail(*std::move(failure));
  CKPT_TRY_VOID(writer->Commit());
  return {};
}

// As many ranges under way as there are connections, each into its own buffer, in order.
Result<void> Download(const Uri& folder, unsigned connections) {
  MemoryBudget budget(kBudgetBytes);
  CKPT_TRY(Grant grant, budget.Acquire(connections * kWindowBytes));
  CKPT_TRY(Buffer memory, Buffer::Allocate(std::move(grant)));  // outlives what is under way
  CKPT_TRY(const std::unique_ptr<Store> bucket, OpenBucket(folder, connections, budget));
  std::vector<IoFuture> reads(connections);
  size_t turn = 0;
  std::vector<std::unique_ptr<ObjectReader>> readers;
  CKPT_TRY(const std::vector<ObjectInfo> objects, bucket->List(""));
  for (const ObjectInfo& object : objects) {
    CKPT_TRY(std::unique_ptr<ObjectReader> reader, bucket->Open(object));
    for (uint64_t at = 0; at < object.size_bytes; at += kRangeBytes) {
      IoFuture& read = reads[turn];
      if (read.valid()) CKPT_TRY_VOID(read.get());
      read = reader->ReadWindow({at, std::min(object.size_bytes, at + kRangeBytes)},
                                memory.span(turn * kWindowBytes, kWindowBytes));
      turn = (turn + 1) % connections;
    }
    readers.push_back(std::move(reader));
  }
  for (IoFuture& read : reads) {
    if (read.valid()) CKPT_TRY_VOID(read.get());
  }
  return {};
}

Result<void> Move(std::span<char*> words) {
  const std::string target = words[2];
  const auto connections = static_cast<unsigned>(std::stoul(words[3]));
  if (words[1] == std::string_view("read")) {
    CKPT_TRY(const Uri folder, Uri::Parse(target));
    return Download(folder, connections);
  }
  const size_t slash = target.rfind('/');
  CKPT_TRY(const Uri folder, Uri::Parse(target.substr(0, slash)));
  return Upload(folder, target.substr(slash + 1), connections, {words.begin() + 4, words.end()});
}

int Main(std::span<char*> words) {
  if (words.size() < 4) {
    fmt::print(stderr, "usage: store_bench read|write gs://BUCKET/NAME CONNECTIONS [FILE...]\n");
    return 64;
  }
  const Result<void> moved = Move(words);
  if (moved) return 0;
  fmt::print(stderr, "{}\n", moved.error().Print());
  return ExitStatus(moved.error().code);
}

}  // namespace
}  // namespace ckpt

int main(int argc, char** argv) { return ckpt::Main({argv, static_cast<size_t>(argc)}); }
