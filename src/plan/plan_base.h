#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/model.h"
#include "source/catalog.h"

namespace ckpt {

/// What decides how a run goes, but never what it writes: none of it is in a digest.
struct Resources {
  uint64_t memory_bytes = 0;        ///< the budget; 0: choose
  uint64_t least_memory_bytes = 0;  ///< the default without --memory
  uint64_t most_memory_bytes = 0;   ///< the most that a budget that nobody gave rises to
  unsigned threads = 1;
  /// What the source's store holds beside the windows that it is given.
  uint64_t source_held_bytes = 0;
  /// Each read is a request that crosses a network: fewer and larger ones.
  bool is_reading_remote = false;
  /// The destination keeps each part of an object in memory until it has it whole (buckets).
  bool is_uploading = false;
};

/// The most bytes of a part that such a destination gets at once.
uint64_t UploadPartBytes(uint64_t bundle_bytes);

/// Buffers of that size. Each file that is being filled has one for every segment that is partly
/// filled, and some for parts on their way.
struct UploadBuffers {
  uint64_t part_bytes = 0;
  unsigned files = 0;  ///< at one time
  unsigned open_segments = 1;
  unsigned parts_in_flight = 1;
  unsigned shared_parts = 0;  ///< of a file: in which segments meet, so that they wait half filled
  uint64_t bytes() const {
    return part_bytes * files * (open_segments + shared_parts + parts_in_flight);
  }
};

/// Bytes in and out, exact: ranges as requested, before direct I/O rounds them. Only where boxes
/// meet in a compressed chunk that is larger than a lane's window, the most that they may read.
struct Totals {
  uint64_t source_tensor_bytes = 0;  ///< of every tensor used
  uint64_t header_bytes = 0;         ///< read to make the catalog
  uint64_t read_bytes = 0;        ///< everything: headers, tensors, what is read again, companions
  uint64_t read_again_bytes = 0;  ///< part of read_bytes: statistics, passes, tied tensors
  uint64_t written_bytes = 0;     ///< data files and the companions
  uint64_t requests =
      0;  ///< range reads at this plan's tile size, as the first tile of each array has them
};

/// A reason for reading something more than once.
struct Reread {
  std::string array;
  std::string why;  ///< "column maxima before quantizing", "2 passes", "shares its tensor with ..."
  uint64_t bytes = 0;
};

/// The part of a plan that does not depend on how its target lays out files.
struct PlanBase {
  Catalog catalog;
  Model model;
  std::string target;
  /// Of the run's own folder in the destination's state, where several runs share a destination;
  /// "" for none. In no digest.
  std::string state_name;
  uint64_t bundle_bytes = 0;  ///< B
  Totals totals;
  std::vector<Reread> rereads;
  std::vector<std::string> warnings;
  std::string layout_digest;  ///< SHA-256, 64 digits
  std::string run_digest;
};

}  // namespace ckpt
