#pragma once

#include <chrono>

namespace ckpt::http {

using Time = std::chrono::steady_clock::time_point;

/// How many requests may be under way to one origin at once: as many as there are connections, half
/// of it after each 429 or 503, one more after some successes. Not thread-safe.
class Pacer {
 public:
  explicit Pacer(unsigned most) : limit_(most), most_(most) {}

  bool IsOpen() const { return under_way_ < limit_; }
  unsigned limit() const { return limit_; }

  void Begin() { ++under_way_; }
  enum class Verdict { kSuccess, kNeutral, kTooMany };
  /// A request that began at `begun` is over. Those that were under way together when the service
  /// had enough count as one complaint: otherwise a single one would close all but one connection.
  void End(Verdict verdict, Time begun, Time now);

 private:
  static constexpr unsigned kSuccessesToGrow = 8;

  unsigned limit_;
  const unsigned most_;
  unsigned under_way_ = 0;
  unsigned successes_ = 0;
  Time halved_{};
};

}  // namespace ckpt::http
