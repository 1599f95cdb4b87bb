#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <stop_token>
#include <string>

#include "model/model.h"
#include "plan/tensor_box.h"
#include "source/box_reader.h"
#include "source/catalog.h"
#include "source/reader_pool.h"

namespace ckpt {

/// The type in which a role's boxes are read: that of its tensor, or F32 for types of blocks, whose
/// elements cannot be moved one by one.
DType LaidType(const Catalog& catalog, const BoundRole& bound);

/// Bytes that each of a RoleReader's two buffers needs for a box of these extents, wherever in the
/// role it begins.
uint64_t RoleBoxBytes(const Catalog& catalog, const BoundRole& bound, const RoleBox& box);

/// Bytes that reading a box of a role fetches.
uint64_t TouchedBytes(const Catalog& catalog, const BoundRole& bound, const RoleBox& box);

/// Reads boxes of roles in their canonical order, whatever the source: chunked, transposed,
/// sharded, quantized in blocks. Where the box lies in the file as one run of bytes, it is read by
/// one request and not copied. Not thread-safe; one for each lane.
class RoleReader {
 public:
  /// `buffers`: kIoAlignment-aligned, RoleBoxBytes of the largest box each. `windows`: what a
  /// BoxReader takes its window from. All outlive this.
  RoleReader(const Catalog& catalog, ReaderPool& pool, MemoryBudget& windows, std::stop_token stop,
             std::array<std::span<std::byte>, 2> buffers);
  RoleReader(const RoleReader&) = delete;
  RoleReader& operator=(const RoleReader&) = delete;
  ~RoleReader();  // waits for a read under way: it fills memory of ours

  /// Begins to read a box, of which one index is taken of the axis that has a tensor each.
  Result<void> Start(const BoundRole& bound, const RoleBox& box);
  /// The elements of that box, of LaidType, in C order of the role's axes; valid until the next
  /// Start(). Errors: those of BoxReader, with tensor and file.
  Result<const std::byte*> Finish();

  uint64_t requested_bytes() const { return requested_bytes_ + boxes_.requested_bytes(); }

 private:
  Result<const std::byte*> Lay(const std::byte* read);

  const Catalog& catalog_;
  ReaderPool& pool_;
  std::array<std::span<std::byte>, 2> buffers_;
  BoxReader boxes_;
  // The box under way.
  const BoundRole* bound_ = nullptr;
  RoleBox box_;
  std::shared_ptr<ObjectReader> reader_;  // open as long as it reads
  IoFuture read_;
  const std::byte* read_at_ = nullptr;
  uint64_t requested_bytes_ = 0;
};

/// Where one element of a role lies.
struct ElementPlace {
  std::string tensor;
  std::vector<uint64_t> index;  ///< in the tensor
  std::string object;           ///< "FILE", safe to print; "" where the element is not stored
};
ElementPlace FindElement(const Catalog& catalog, const BoundRole& bound,
                         std::span<const uint64_t> index);

}  // namespace ckpt
