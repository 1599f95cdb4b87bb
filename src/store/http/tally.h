#pragma once

#include <mutex>
#include <string>

#include "store/http/http.h"

namespace ckpt::http {

/// Thread-safe. The counts of an engine.
class Tally {
 public:
  void AddTry(const std::string& method) {
    const std::lock_guard lock(mutex_);
    ++counts_.requests;
    ++counts_.requests_by_method[method];
  }
  void AddBytes(uint64_t received, uint64_t sent) {
    const std::lock_guard lock(mutex_);
    counts_.received_bytes += received;
    counts_.sent_bytes += sent;
  }
  void AddRetry(const std::string& key) {
    const std::lock_guard lock(mutex_);
    ++counts_.retries[key];
  }
  Counts counts() const {
    const std::lock_guard lock(mutex_);
    return counts_;
  }

 private:
  mutable std::mutex mutex_;
  Counts counts_;
};

}  // namespace ckpt::http
