#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/error.h"

namespace ckpt {

/// Something wrong in a family table.
struct TableFault {
  uint32_t line = 0;
  std::string key;  ///< "tensor[3].hf.layout"
  std::string what;
  std::string remedy;
};

/// Collects all that is wrong with one table, so that a user mends it in one go.
class TableFaults {
 public:
  void Add(uint32_t line, std::string key, std::string what, std::string remedy = {}) {
    list_.push_back({line, std::move(key), std::move(what), std::move(remedy)});
  }
  void Add(uint32_t line, std::string key, const Error& error) {
    Add(line, std::move(key), error.what, error.remedy);
  }
  bool empty() const { return list_.empty(); }
  /// kBadInput with the file, and line and key of each fault.
  Error AsError(const std::string& file) const;

 private:
  std::vector<TableFault> list_;
};

}  // namespace ckpt
