#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "base/result.h"
#include "store/gs/client.h"
#include "store/gs/receipt.h"

namespace ckpt::gs {

/// Thread-safe. The objects in one folder (a whole name) where pieces of parts that are not full
/// yet outlive their writer: no upload takes them, since a part must have 5 MiB and comes whole.
class Scratch {
 public:
  Scratch(Client& client, std::string folder) : client_(client), folder_(std::move(folder)) {}

  /// Makes the piece's object; one that is there already is the same one, of an earlier try or of
  /// another process that made the same bytes.
  Result<void> Save(const SavedPiece& piece, std::span<const std::byte> bytes);
  /// False where it is gone. kIo for other bytes than the CRC's.
  Result<bool> Load(const SavedPiece& piece, std::span<std::byte> into);
  /// Removes all that is there, of whomever.
  Result<void> Clear();

 private:
  std::string NameOf(const ByteRange& range) const;
  Client& client_;
  const std::string folder_;
};

}  // namespace ckpt::gs
