#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "plan/plan_base.h"
#include "run/progress.h"

namespace ckpt {

/// What this process moves, in and out: without what was done before, or is other shards'.
uint64_t BytesToMove(const Totals& totals, const Progress& progress);

/// How far a run is, in bytes read and written.
struct ProgressFigures {
  /// Of `moved` bytes so far, of `all`, in `seconds`.
  ProgressFigures(uint64_t moved, uint64_t all, double seconds);
  uint64_t done = 0;  ///< at most `all`
  double fraction = 0;
  double rate = 0;          ///< bytes a second; 0 before anything is done
  double seconds_left = 0;  ///< of no meaning while the rate is 0
};

/// Shows a run on standard error: a bar that is redrawn on a terminal, a line every ten seconds
/// elsewhere.
class ProgressView {
 public:
  /// `totals` outlives this.
  ProgressView(const Totals& totals, uint64_t budget_bytes, bool is_quiet);
  ~ProgressView();  // leaves the terminal on a fresh line
  ProgressView(const ProgressView&) = delete;
  ProgressView& operator=(const ProgressView&) = delete;

  void Tick(const Progress& progress);

 private:
  std::string Line(const Progress& progress, const ProgressFigures& figures) const;
  const Totals& totals_;
  const uint64_t budget_bytes_;
  const bool is_quiet_;
  const bool is_terminal_;
  const std::chrono::steady_clock::time_point begin_;
  std::chrono::steady_clock::time_point next_;
  bool is_drawn_ = false;
};

}  // namespace ckpt
