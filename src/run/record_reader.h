#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "run/journal.h"
#include "run/record.h"

namespace ckpt {

/// Reads records back in an order that is known before, several of them side by side: a commit in a
/// bucket would wait for one after the other else. Holds as many as the journal has readers.
class RecordReader {
 public:
  explicit RecordReader(const Journal& journal) : journal_(journal) {}

  /// What Get() is asked for from now on, in this order; repeats may be in it.
  void Expect(std::vector<uint32_t> numbers);
  /// Valid until the next call. One that was not expected is read alone.
  Result<const BundleRecord*> Get(uint32_t number);

 private:
  const Journal& journal_;
  std::vector<uint32_t> expected_;
  size_t next_ = 0;  // of these
  std::map<uint32_t, BundleRecord> read_;
};

}  // namespace ckpt
