#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace ckpt {

inline constexpr uint64_t kKiB = 1024;
inline constexpr uint64_t kMiB = 1024 * kKiB;
inline constexpr uint64_t kGiB = 1024 * kMiB;

/// "983.6 MB": decimal units, as disks and downloads count. One digit after the point from 1 kB on.
std::string FormatBytes(uint64_t bytes);
/// "256 MiB" where exact in binary units, else as FormatBytes: for memory and settings.
std::string FormatMemory(uint64_t bytes);
/// "1.25 GB/s".
std::string FormatRate(double bytes_per_second);
/// "0:42", "13:05", "2:07:30".
std::string FormatDuration(double seconds);
/// "256MiB", "1.5GiB", "4GB", "100M" (as MiB), "1048576". kUsage with the accepted forms.
Result<uint64_t> ParseBytes(std::string_view text);

}  // namespace ckpt
