#include "cli/machine.h"

#include <fmt/format.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <fstream>
#include <string>

namespace ckpt {
namespace {

// "max" and the huge number that version 1 shows for "no limit" both come out as no limit.
uint64_t ReadLimit(const std::string& path) {
  std::ifstream file(path);
  uint64_t bytes = 0;
  return file >> bytes ? bytes : UINT64_MAX;
}

// The limits of this process' control group and of all above it; inside a container the files at
// the top are its own.
uint64_t ControlGroupLimit() {
  uint64_t limit = std::min(ReadLimit("/sys/fs/cgroup/memory.max"),
                            ReadLimit("/sys/fs/cgroup/memory/memory.limit_in_bytes"));
  std::ifstream groups("/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    const size_t first = line.find(':');
    const size_t second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const bool is_v1 = ("," + controllers + ",").find(",memory,") != std::string::npos;
    if (!is_v1 && !controllers.empty()) continue;
    const std::string top = is_v1 ? "/sys/fs/cgroup/memory" : "/sys/fs/cgroup";
    const std::string name = is_v1 ? "/memory.limit_in_bytes" : "/memory.max";
    for (std::string path = line.substr(second + 1); path.size() > 1; path.resize(path.rfind('/')))
      limit = std::min(limit, ReadLimit(fmt::format("{}{}{}", top, path, name)));
  }
  return limit;
}

}  // namespace

std::optional<std::string> ReadEnvironment(const char* name) {
  // NOLINTNEXTLINE(concurrency-mt-unsafe): nobody sets variables once threads run
  const char* value = std::getenv(name);
  return value == nullptr ? std::nullopt : std::optional<std::string>(value);
}

unsigned CoreCount() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) != 0) return 1;
  return static_cast<unsigned>(std::max(1, CPU_COUNT(&set)));
}

uint64_t MachineMemoryBytes() {
  const auto pages = static_cast<uint64_t>(std::max(0L, sysconf(_SC_PHYS_PAGES)));
  const auto page_bytes = static_cast<uint64_t>(std::max(0L, sysconf(_SC_PAGESIZE)));
  return std::min(pages * page_bytes, ControlGroupLimit());
}

}  // namespace ckpt
