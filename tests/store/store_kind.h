#pragma once

#include <functional>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "store/store.h"

namespace ckpt {

/// A store under the common suite, and in what it differs from the others: each test asks for what
/// the store promises instead of leaving the store out.
struct StoreKind {
  std::string name;
  std::string parent;  ///< where its folder is made
  std::function<std::unique_ptr<Store>(const std::string& folder)> open;
  /// What was written can be read; else Open() is kNotFound, and Stat() tells the CRC-32C.
  bool is_readable = true;
  /// Two positioned writers of one name fill one object and both commit it; else one of them fails.
  bool is_part_shared = false;
  /// Kept objects outlive their writers.
  bool keeps_unfinished = true;

  friend std::ostream& operator<<(std::ostream& out, const StoreKind& kind) {
    return out << kind.name;
  }
};

/// Every store there is.
std::vector<StoreKind> AllStoreKinds();

}  // namespace ckpt
