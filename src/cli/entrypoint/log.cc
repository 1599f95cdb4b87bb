#include "cli/entrypoint/log.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "base/units.h"
#include "cli/entrypoint/redact.h"
#include "run/report.h"

namespace ckpt::contract {
namespace {

constexpr auto kLineEvery = std::chrono::seconds(10);
constexpr double kNoEta = -1;

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
    if (fields.has_bytes) {
      json["bytes_done"] = fields.bytes_done;
      json["bytes_total"] = fields.bytes_total;
      json["rate"] = fields.rate;
      if (fields.eta_s != kNoEta) json["eta_s"] = fields.eta_s;
    }
    fmt::print(stream, "{}\n",
               json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
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
    fmt::print("{}\n", nlohmann::ordered_json::parse(json).dump());
  } else {
    fmt::print("{}", text);
  }
  is_lost_ |= std::fflush(stdout) != 0;
}

void Log::Report(uint64_t bytes_done, uint64_t bytes_total, double seconds,
                 std::string_view memory) {
  Fields fields;
  fields.stage = "convert";
  fields.has_bytes = true;
  fields.bytes_done = std::min(bytes_done, bytes_total);
  fields.bytes_total = bytes_total;
  fields.rate = seconds > 0 ? static_cast<double>(bytes_done) / seconds : 0;
  fields.eta_s =
      fields.rate > 0 ? static_cast<double>(bytes_total - fields.bytes_done) / fields.rate : kNoEta;
  const double percent = 100 * static_cast<double>(fields.bytes_done) /
                         static_cast<double>(std::max<uint64_t>(1, bytes_total));
  Write(
      "INFO",
      fmt::format("Converting: {:.0f}%, {} of {}, {}, ETA {}, memory {}", percent,
                  FormatBytes(fields.bytes_done), FormatBytes(bytes_total), FormatRate(fields.rate),
                  fields.eta_s == kNoEta ? "unknown" : FormatDuration(fields.eta_s), memory),
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
  const uint64_t all = std::max<uint64_t>(1, totals_.read_bytes + totals_.written_bytes);
  const uint64_t tenths = std::min<uint64_t>(10, done / std::max<uint64_t>(1, all / 10));
  if (now < next_ && tenths <= tenths_) return;
  tenths_ = std::max(tenths_, tenths);
  next_ = now + kLineEvery;
  log_.Report(done, all, std::chrono::duration<double>(now - begin_).count(),
              fmt::format("{} of {}", FormatMemory(PeakRssBytes()), FormatMemory(budget_bytes_)));
}

}  // namespace ckpt::contract
