#include "base/units.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

namespace ckpt {
namespace {

struct Unit {
  std::string_view name;
  double factor;
};
constexpr std::array<Unit, 4> kDecimal = {{{"kB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}}};
// A bare letter means the binary unit, as with docker and Java.
constexpr std::array<Unit, 20> kParsed = {{{"", 1},
                                           {"B", 1},
                                           {"k", 1024.0},
                                           {"K", 1024.0},
                                           {"kB", 1e3},
                                           {"KB", 1e3},
                                           {"KiB", 1024.0},
                                           {"Ki", 1024.0},
                                           {"M", 1048576.0},
                                           {"MB", 1e6},
                                           {"MiB", 1048576.0},
                                           {"Mi", 1048576.0},
                                           {"G", 1073741824.0},
                                           {"GB", 1e9},
                                           {"GiB", 1073741824.0},
                                           {"Gi", 1073741824.0},
                                           {"T", 1099511627776.0},
                                           {"TB", 1e12},
                                           {"TiB", 1099511627776.0},
                                           {"Ti", 1099511627776.0}}};

}  // namespace

std::string FormatBytes(uint64_t bytes) {
  if (bytes < 1000) return fmt::format("{} B", bytes);
  size_t i = 0;
  while (i + 1 < kDecimal.size() && static_cast<double>(bytes) >= kDecimal[i + 1].factor * 0.99995)
    ++i;
  return fmt::format("{:.1f} {}", static_cast<double>(bytes) / kDecimal[i].factor,
                     kDecimal[i].name);
}

std::string FormatMemory(uint64_t bytes) {
  if (bytes >= kGiB && bytes % kGiB == 0) return fmt::format("{} GiB", bytes / kGiB);
  if (bytes >= kMiB && bytes % kMiB == 0) return fmt::format("{} MiB", bytes / kMiB);
  if (bytes >= kMiB)
    return fmt::format("{:.1f} MiB", static_cast<double>(bytes) / static_cast<double>(kMiB));
  return FormatBytes(bytes);
}

std::string FormatRate(double bytes_per_second) {
  return FormatBytes(static_cast<uint64_t>(std::max(0.0, bytes_per_second))) + "/s";
}

std::string FormatDuration(double seconds) {
  const auto total = static_cast<uint64_t>(std::max(0.0, std::round(seconds)));
  if (total < 3600) return fmt::format("{}:{:02}", total / 60, total % 60);
  return fmt::format("{}:{:02}:{:02}", total / 3600, total / 60 % 60, total % 60);
}

Result<uint64_t> ParseBytes(std::string_view text) {
  double number = 0;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
  if (error == std::errc() && number >= 0) {
    std::string_view unit(end, static_cast<size_t>(text.data() + text.size() - end));
    while (!unit.empty() && unit.front() == ' ') unit.remove_prefix(1);
    for (const Unit& known : kParsed) {
      if (known.name != unit) continue;
      const double bytes = number * known.factor;
      if (bytes < 9.2e18) return static_cast<uint64_t>(bytes);
    }
  }
  return Fail(Code::kUsage, fmt::format("\"{}\" is no size", text),
              "write it as 256MiB, 1.5GiB, 4GB or in bytes");
}

}  // namespace ckpt
