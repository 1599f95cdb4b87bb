#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "base/result.h"
#include "store/archive/plain_stream.h"

namespace ckpt {

/// A regular file, or a folder, of an archive.
struct TarMember {
  std::string name;  ///< as the archive has it: not looked at yet
  uint64_t size_bytes = 0;
  bool is_folder = false;
};

/// The members of a tar archive (ustar, pax, GNU, old), one after the other, by libarchive. Not
/// thread-safe; the stream and the buffer must outlive it.
///
/// libarchive's formats but tar, and its filters, are not linked: they bring libraries that
/// outweigh the program, and memory that no budget knows (a zip member may ask for a dictionary of
/// 4 GiB).
class TarReader {
 public:
  /// The most that headers of one member may take (pax records, maps of sparse files).
  static constexpr uint64_t kMostHeaderBytes = 256ULL << 10U;

  /// `buffer`: what is read at once passes through it.
  static Result<std::unique_ptr<TarReader>> Open(PlainStream& stream, std::span<std::byte> buffer);
  TarReader(const TarReader&) = delete;
  TarReader& operator=(const TarReader&) = delete;
  ~TarReader();

  /// The next member; nothing at the end of the archive, all of which is read then. Errors: those
  /// of the stream; kBadInput for what is no tar, damaged or cut off, and for links, devices and
  /// sparse files, with the place "member".
  Result<std::optional<TarMember>> Next();
  /// The next bytes of the member, none at its end; they stay until the next call.
  Result<std::span<const std::byte>> Read();

 private:
  struct State;  // hides libarchive
  explicit TarReader(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace ckpt
