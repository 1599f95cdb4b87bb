#include "model/faults.h"

#include <fmt/format.h>

namespace ckpt {
namespace {
constexpr size_t kMaxShown = 20;
}

Error TableFaults::AsError(const std::string& file) const {
  Error error{Code::kBadInput, {}, {}, {}, "mend the table; models/README.md tells its language"};
  if (list_.size() == 1) {
    const TableFault& fault = list_[0];
    error.what = fault.what;
    error.where = {{"key", fault.key}, {"file", fmt::format("{}, line {}", file, fault.line)}};
    if (!fault.remedy.empty()) error.remedy = fault.remedy;
    return error;
  }
  error.what = fmt::format("{} faults in a family table", list_.size());
  for (const TableFault& fault : list_) {
    if (error.details.size() == kMaxShown) {
      error.details.push_back(fmt::format("and {} more", list_.size() - kMaxShown));
      break;
    }
    error.details.push_back(fmt::format("line {}, {}: {}{}{}", fault.line, fault.key, fault.what,
                                        fault.remedy.empty() ? "" : ": ", fault.remedy));
  }
  error.where = {{"file", file}};
  return error;
}

}  // namespace ckpt
