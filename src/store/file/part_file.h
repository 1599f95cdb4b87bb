#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/result.h"
#include "store/file/descriptor.h"
#include "store/file/file_store.h"
#include "store/file/page_cache.h"

namespace ckpt {

/// Thread-safe. The open file of a positioned writer: full size from the start, and each write
/// takes the way that keeps every block right.
///   [0, direct end)     through the direct descriptor only. Ragged edges are read, changed and
///   written as whole blocks
///                       of kIoAlignment, which the promise of WriteAt() (no two writes at once in
///                       one block) makes safe; bytes at odd addresses go through a small aligned
///                       buffer.
///   [direct end, size)  through the buffered descriptor only: the last, partial block, which
///   direct I/O cannot write
///                       without making the file longer.
/// The direct end is a multiple of the page size and of the file system's block, so no page of the
/// cache covers bytes that are written directly. In buffered mode, or where direct I/O is refused,
/// it is 0.
class PartFile {
 public:
  /// `file`: open for reading and writing; `leaf` in `folder_fd` is its name. Sets the size and
  /// reserves the space. kCannotCreate if it is no regular file or the space is not there.
  Result<void> Open(Descriptor file, int folder_fd, const char* leaf, uint64_t size_bytes,
                    IoMode mode);

  Result<void> Write(std::span<const std::byte> bytes, uint64_t offset);
  /// 0 or errno.
  int Sync() const { return SyncData(buffered_.get()); }
  /// Makes all durable and closes. 0 or errno.
  int Finish();
  void Close();
  /// Whether `leaf` is this file; also after it was closed.
  bool IsNamed(int folder_fd, const char* leaf) const;

 private:
  Result<void> Reserve(uint64_t size_bytes);
  Result<void> OpenDirect(int folder_fd, const char* leaf, IoMode mode);
  Result<void> WriteDirect(std::span<const std::byte> bytes, uint64_t offset);
  Result<void> WriteBuffered(std::span<const std::byte> bytes, uint64_t offset);

  Descriptor buffered_;
  Descriptor direct_;
  dev_t device_ = 0;
  ino_t inode_ = 0;
  uint64_t size_bytes_ = 0;
  uint64_t direct_end_ = 0;
  IoMode mode_ = IoMode::kAuto;
  std::atomic<bool> is_direct_ = false;
  WriteBehind write_behind_;
};

}  // namespace ckpt
