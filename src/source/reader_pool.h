#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "base/result.h"
#include "source/catalog.h"
#include "source/read_batch.h"
#include "source/source_checks.h"
#include "store/store.h"

namespace ckpt {

/// Thread-safe. Opens a catalog's objects when they are asked for and keeps the latest ones open: a
/// checkpoint may have more objects than a process may open files. Store and catalog must outlive
/// it, and so must `checks`, which watches what is read where it is given.
class ReaderPool {
 public:
  static constexpr size_t kMostOpen = 128;

  ReaderPool(Store& store, const Catalog& catalog, size_t most_open = kMostOpen,
             SourceChecks* checks = nullptr)
      : store_(store), catalog_(catalog), most_open_(most_open), checks_(checks) {}
  ReaderPool(const ReaderPool&) = delete;
  ReaderPool& operator=(const ReaderPool&) = delete;

  /// Errors: those of the store, with the place "file".
  Result<std::shared_ptr<ObjectReader>> Get(uint32_t object);
  /// For BoxReader; this must outlive it.
  OpenObject Opener() {
    return [this](uint32_t object) { return Get(object); };
  }

 private:
  struct Open {
    uint32_t object = 0;
    std::shared_ptr<ObjectReader> reader;
  };
  Store& store_;
  const Catalog& catalog_;
  const size_t most_open_;
  SourceChecks* const checks_;
  std::mutex mutex_;
  std::list<Open> open_;  // the latest first
  std::unordered_map<uint32_t, std::list<Open>::iterator> places_;
};

}  // namespace ckpt
