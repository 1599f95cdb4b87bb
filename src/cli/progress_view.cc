#include "cli/progress_view.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "base/units.h"
#include "run/report.h"

namespace ckpt {
namespace {

constexpr auto kRedraw = std::chrono::milliseconds(200);
constexpr auto kLineEvery = std::chrono::seconds(10);
constexpr size_t kBarWidth = 24;

size_t TerminalWidth() {
  winsize size{};
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

uint64_t Left(uint64_t all, uint64_t skipped) { return all - std::min(all, skipped); }

std::string Bar(double fraction) {
  const auto full = static_cast<size_t>(fraction * kBarWidth);
  return "[" + std::string(full, '#') + std::string(kBarWidth - full, '.') + "]";
}

}  // namespace

uint64_t BytesToMove(const Totals& totals, const Progress& progress) {
  return Left(totals.read_bytes, progress.skipped_read_bytes) +
         Left(totals.written_bytes, progress.skipped_written_bytes);
}

ProgressFigures::ProgressFigures(uint64_t moved, uint64_t all, double seconds)
    : done(std::min(moved, all)),
      fraction(static_cast<double>(done) / static_cast<double>(std::max<uint64_t>(1, all))),
      rate(seconds > 0 ? static_cast<double>(moved) / seconds : 0),
      seconds_left(rate > 0 ? static_cast<double>(all - done) / rate : 0) {}

ProgressView::ProgressView(const Totals& totals, uint64_t budget_bytes, bool is_quiet)
    : totals_(totals),
      budget_bytes_(budget_bytes),
      is_quiet_(is_quiet),
      is_terminal_(isatty(STDERR_FILENO) == 1),
      begin_(std::chrono::steady_clock::now()),
      next_(begin_ + (is_terminal_ ? std::chrono::steady_clock::duration(kRedraw) : kLineEvery)) {}

ProgressView::~ProgressView() {
  if (is_drawn_) std::fputs("\r\033[K", stderr);
}

std::string ProgressView::Line(const Progress& progress, const ProgressFigures& figures) const {
  return fmt::format("{:3.0f}% {} of {} in, {} out  {}  ETA {}  memory {} of {}",
                     100 * figures.fraction, FormatBytes(progress.read_bytes),
                     FormatBytes(Left(totals_.read_bytes, progress.skipped_read_bytes)),
                     FormatBytes(progress.written_bytes), FormatRate(figures.rate),
                     FormatDuration(figures.seconds_left), FormatMemory(PeakRssBytes()),
                     FormatMemory(budget_bytes_));
}

void ProgressView::Tick(const Progress& progress) {
  const auto now = std::chrono::steady_clock::now();
  if (is_quiet_ || now < next_) return;
  const ProgressFigures figures(progress.read_bytes + progress.written_bytes,
                                BytesToMove(totals_, progress),
                                std::chrono::duration<double>(now - begin_).count());
  std::string line = Line(progress, figures);
  if (is_terminal_) {
    next_ = now + kRedraw;
    line = Bar(figures.fraction) + " " + line;
    line.resize(std::min(line.size(), TerminalWidth() - 1));
    fmt::print(stderr, "\r{}\033[K", line);
    is_drawn_ = true;
  } else {
    next_ = now + kLineEvery;
    fmt::print(stderr, "{}\n", line);
  }
  std::fflush(stderr);
}

}  // namespace ckpt
