#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"
#include "plan/plan_base.h"
#include "run/progress.h"

namespace ckpt {
struct ProgressFigures;
}

namespace ckpt::contract {

/// What the container says while it runs: lines for people, or one JSON object each for a log
/// service. Everything goes to standard output, since services take plain lines on standard error
/// for errors; errors alone go there. Each line is flushed at once.
class Log {
 public:
  enum class Format { kText, kJson };
  explicit Log(Format format) : format_(format) {}

  /// Whether some line did not arrive (a full disk behind standard output).
  bool is_lost() const { return is_lost_; }

  void Info(std::string_view message) { Write("INFO", message, {}); }
  void Notice(std::string_view message) { Write("NOTICE", message, {}); }
  void Warn(std::string_view message) { Write("WARNING", message, {}); }
  void Fail(const Error& error);
  /// A table for people, or the same as one JSON object on a line of its own.
  void Show(const std::string& text, const std::string& json);
  /// Bytes moved so far and in all, their rate and what is left.
  void Report(uint64_t bytes_done, uint64_t bytes_total, double seconds, std::string_view memory);

 private:
  struct Fields {
    std::string_view stage = {};
    std::string tensor = {};
    const ProgressFigures* progress = nullptr;
    uint64_t bytes_total = 0;
  };
  void Write(std::string_view severity, std::string_view text, const Fields& fields);
  Format format_;
  bool is_lost_ = false;
};

/// Progress of a run in a log: a line every ten seconds, and at each tenth.
class LogProgress {
 public:
  /// `log` and `totals` outlive this.
  LogProgress(Log& log, const Totals& totals, uint64_t budget_bytes);
  void Tick(const Progress& progress);

 private:
  Log& log_;
  const Totals& totals_;
  const uint64_t budget_bytes_;
  const std::chrono::steady_clock::time_point begin_;
  std::chrono::steady_clock::time_point next_;
  uint64_t tenths_ = 0;
};

}  // namespace ckpt::contract
