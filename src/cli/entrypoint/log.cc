#include "cli/entrypoint/log.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "base/json_text.h"
#include "base/units.h"
#include "cli/entrypoint/redact.h"
#include "cli/progress_view.h"
#include "run/report.h"

namespace ckpt::contract {
namespace {

constexpr auto kLineEvery = std::chrono::seconds(10);

std::string Now(const char* format) {
  const std::time_t now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  return fmt::format(fmt::runtime(format), fmt::gmtime(now));
}

}  // namespace

void Log::Write(std::string_view severity, std::string_view text, const Fields& fields) {
  const std::string message = HideSecrets(text);
  std::FILE* stream = severity == "ERROR" ? stderr : stdout;
  if (format_ == Format::kJson) {
    nlohmann::ordered_json json = {
        {"severity", severity}, {"time", Now("{:%Y-%m-%dT%H:%M:%SZ}")}, {"message", message}};
    if (!fields.stage.empty()) json["stage"] = fields.stage;
    if (!fields.tensor.empty()) json["tensor"] = fields.tensor;
    if (fields.progress != nullptr) {
      json["bytes_done"] = fields.progress->done;
      json["bytes_total"] = fields.bytes_total;
      json["rate"] = fields.progress->rate;
      if (fields.progress->rate > 0) json["eta_s"] = fields.progress->seconds_left;
    }
    fmt::print(stream, "{}\n", PrintJsonLine(json));
  } else {
    const std::string_view kind = severity == "WARNING" ? "warning: " : "";
    fmt::print(stream, "{}: {}{}\n", Now("{:%Y-%m-%d %H:%M:%S}"), kind, message);
  }
  is_lost_ |= std::fflush(stream) != 0;
}

void Log::Fail(const Error& error) {
  Fields fields;
  for (const Place& place : error.where) {
    if (place.kind == "tensor") fields.tensor = place.value;
  }
  Write("ERROR", error.Print(), fields);
}

void Log::Show(const std::string& text, const std::string& json) {
  if (format_ == Format::kJson) {
    fmt::print("{}\n", PrintJsonLine(ParseOrderedJson(json)));
  } else {
    fmt::print("{}", text);
  }
  is_lost_ |= std::fflush(stdout) != 0;
}

void Log::Report(uint64_t bytes_done, uint64_t bytes_total, double seconds,
                 std::string_view memory) {
  const ProgressFigures figures(bytes_done, bytes_total, seconds);
  const bool has_eta = figures.rate > 0;
  Fields fields;
  fields.stage = "convert";
  fields.bytes_total = bytes_total;
  fields.progress = &figures;
  Write("INFO",
        fmt::format("Converting: {:.0f}%, {} of {}, {}, ETA {}, memory {}", 100 * figures.fraction,
                    FormatBytes(figures.done), FormatBytes(bytes_total), FormatRate(figures.rate),
                    has_eta ? FormatDuration(figures.seconds_left) : "unknown", memory),
        fields);
}

LogProgress::LogProgress(Log& log, const Totals& totals, uint64_t budget_bytes)
    : log_(log),
      totals_(totals),
      budget_bytes_(budget_bytes),
      begin_(std::chrono::steady_clock::now()),
      next_(begin_ + kLineEvery) {}

void LogProgress::Tick(const Progress& progress) {
  const auto now = std::chrono::steady_clock::now();
  const uint64_t done = progress.read_bytes + progress.written_bytes;
  const uint64_t all = std::max<uint64_t>(1, BytesToMove(totals_, progress));
  const uint64_t tenths = std::min<uint64_t>(10, done / std::max<uint64_t>(1, all / 10));
  if (now < next_ && tenths <= tenths_) return;
  tenths_ = std::max(tenths_, tenths);
  next_ = now + kLineEvery;
  log_.Report(done, all, std::chrono::duration<double>(now - begin_).count(),
              fmt::format("{} of {}", FormatMemory(PeakRssBytes()), FormatMemory(budget_bytes_)));
}

}  // namespace ckpt::contract
