// Sends files to a bucket through the store alone, as one positioned object: what writing costs
// without a conversion. Beside it stands curl, which sends the same bytes (bench/stores.py).
//   store_bench gs://BUCKET/OBJECT CONNECTIONS FILE...
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
#include <vector>

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

int Main(std::span<char*> words) {
  if (words.size() < 4) {
    fmt::print(stderr, "usage: store_bench gs://BUCKET/OBJECT CONNECTIONS FILE...\n");
    return 64;
  }
  const std::string target = words[1];
  const size_t slash = target.rfind('/');
  const auto sent = [&]() -> Result<void> {
    CKPT_TRY(const Uri folder, Uri::Parse(target.substr(0, slash)));
    return Upload(folder, target.substr(slash + 1), static_cast<unsigned>(std::stoul(words[2])),
                  {words.begin() + 3, words.end()});
  }();
  if (sent) return 0;
  fmt::print(stderr, "{}\n", sent.error().Print());
  return ExitStatus(sent.error().code);
}

}  // namespace
}  // namespace ckpt

int main(int argc, char** argv) { return ckpt::Main({argv, static_cast<size_t>(argc)}); }
