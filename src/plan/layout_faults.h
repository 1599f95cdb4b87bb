#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace ckpt {

/// Tensors that cannot be laid out, collected so that a user sees them all at once.
class LayoutFaults {
 public:
  void Add(const Error& error);
  /// kBadInput with the first of what was added; success where nothing was.
  Result<void> Get() &&;

 private:
  std::vector<std::string> faults_;
  std::string remedy_;
};

}  // namespace ckpt
