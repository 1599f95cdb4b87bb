#pragma once

#include <chrono>
#include <random>
#include <stop_token>

#include "store/http/http.h"

namespace ckpt::gs {

/// Waits between tries that the engine does not make itself, by its policy: random(0, min(cap,
/// first * 2^n)), until its deadline has passed without progress.
class Backoff {
 public:
  explicit Backoff(const http::EngineOptions& options);

  /// False, at once, when the deadline has passed or a stop was asked for: give up.
  bool Wait();
  /// Progress was made.
  void Reset();

 private:
  std::chrono::milliseconds first_;
  std::chrono::milliseconds cap_;
  std::chrono::milliseconds deadline_;
  std::stop_token stop_;
  std::chrono::milliseconds longest_;
  std::chrono::steady_clock::time_point since_;
  std::minstd_rand random_;
};

}  // namespace ckpt::gs
