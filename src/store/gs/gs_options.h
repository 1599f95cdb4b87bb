#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/environment.h"
#include "base/memory_budget.h"
#include "base/result.h"
#include "store/http/http.h"

namespace ckpt {

/// How a store of gs:// reaches its bucket, and how much memory its uploads may take.
struct GsOptions {
  std::shared_ptr<http::Engine> engine;
  /// No host: https://storage.googleapis.com.
  http::Url endpoint;
  /// Null: anonymous, or an emulator.
  std::shared_ptr<http::Authorizer> authorizer;
  /// Who `authorizer` speaks for (an account's e-mail address, or ""), for messages. May be null,
  /// may wait.
  std::function<std::string()> principal;
  /// The project that pays for requests to requester-pays buckets; may be empty.
  std::string user_project;
  /// What upload buffers are granted from; null: an account of the store's own without a limit.
  MemoryBudget* budget = nullptr;
  /// Objects up to this size are one request, as far as they fit in a chunk.
  uint64_t small_bytes = uint64_t{8} << 20;
  /// Of a resumable upload (a multiple of 256 KiB): what each open ObjectWriter of a larger object
  /// holds.
  uint64_t chunk_bytes = uint64_t{16} << 20;
  /// Least size of the parts of positioned objects; at least 16 MiB are taken.
  uint64_t part_bytes = uint64_t{16} << 20;
  /// Of one positioned object: segments that are partly filled at one time, and parts that may be
  /// on their way beside them.
  unsigned open_segments = 4;
  unsigned parts_in_flight = 4;
  /// Takes what the user should know and that is no error. Thread-safe. May be null.
  std::function<void(std::string_view)> warn;
};

/// The address in STORAGE_EMULATOR_HOST ("host:port", or with "http://"), which the engine's
/// trusted_origins must name; nothing where the variable is not set. kUsage if it is no address.
Result<std::optional<http::Url>> GsEmulator(const Environment& environment);

/// Endpoint (with an emulator no credentials are ever sent: leave `authorizer` null) and user
/// project (GOOGLE_CLOUD_QUOTA_PROJECT).
Result<GsOptions> GsOptionsFromEnvironment(const Environment& environment,
                                           std::shared_ptr<http::Engine> engine);

/// The bytes that one positioned object of that size may take from the budget, from its creation
/// to its end.
uint64_t GsPositionedBytes(const GsOptions& options, uint64_t size_bytes,
                           std::span<const uint64_t> borders);
/// The same for one object written front to back. Objects up to 64 KiB take nothing.
uint64_t GsSequentialBytes(const GsOptions& options);

}  // namespace ckpt
