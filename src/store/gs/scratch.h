#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "base/result.h"
#include "store/gs/client.h"
#include "store/gs/receipt.h"
#include "store/gs/session.h"

namespace ckpt::gs {

/// Thread-safe. The objects in one folder (a whole name) where pieces of parts that are not full
/// yet outlive their writer: no upload takes them, since a part must have 5 MiB and comes whole.
class Scratch {
 public:
  /// `temporary`: the folder of all unfinished uploads.
  Scratch(Client& client, std::string_view temporary, const Session& session)
      : client_(client),
        folder_(ScratchFolder(temporary, session)),
        is_composed_(session.is_composed) {}

  /// Makes the piece's object; one that is there already is the same one, of an earlier try or of
  /// another process that made the same bytes.
  Result<void> Save(const SavedPiece& piece, std::span<const std::byte> bytes);
  /// False where it is gone. kIo for other bytes than the CRC's.
  Result<bool> Load(const SavedPiece& piece, std::span<std::byte> into);
  /// Removes all that is there, of whomever.
  Result<void> Clear();

 private:
  std::string NameOf(const ByteRange& range) const;
  Result<void> SaveByXml(const std::string& name, const Crc32c& crc32c,
                         std::span<const std::byte> bytes);
  Result<void> SaveByJson(const std::string& name, const Crc32c& crc32c,
                          std::span<const std::byte> bytes);
  Client& client_;
  const std::string folder_;
  const bool is_composed_;
};

}  // namespace ckpt::gs
