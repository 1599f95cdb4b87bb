#pragma once

#include <cstddef>
#include <cstdint>
#include <future>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/byte_range.h"
#include "base/crc32c.h"
#include "base/result.h"
#include "base/uri.h"

namespace ckpt {

/// Bulk reads and writes move whole blocks of this size where they can, so that file stores may
/// bypass the page cache.
inline constexpr uint64_t kIoAlignment = 4096;

/// The version of an object, pinned at first sight: a read of another version fails instead of
/// mixing two. Opaque text; for files size, modification time and inode; for buckets the store's
/// own generation or ETag.
struct Generation {
  std::string value;
  bool operator==(const Generation&) const = default;
};

struct ObjectInfo {
  std::string name;  ///< relative to the store's root, '/' between parts
  uint64_t size_bytes = 0;
  Generation generation;
  int64_t modified_ns = 0;       ///< since 1970; 0 where the store does not say
  std::optional<Crc32c> crc32c;  ///< where the store knows it without reading
};

/// A read or write under way. get() waits for it. The memory it was given must live until then.
using IoFuture = std::future<Result<void>>;

/// One object, open for reading at one generation. Thread-safe: ranges may be read from several
/// threads at once.
class ObjectReader {
 public:
  virtual ~ObjectReader() = default;
  virtual const ObjectInfo& info() const = 0;

  /// Whether its bytes lay in this machine's memory when it was opened: Read() then waits for no
  /// device, of any number of bytes, and reading ahead gains nothing.
  virtual bool IsInMemory() const { return false; }

  /// Bulk read, asynchronous. `window` is kIoAlignment-aligned memory of at least
  /// AlignOutward(range, kIoAlignment).size() bytes. The byte at range.begin lands at
  /// window[range.begin % kIoAlignment]; bytes of the window outside the range have no meaning
  /// afterwards. Errors: kIo (with the byte range), kBadInput if the object ends before range.end
  /// or is another generation now.
  virtual IoFuture ReadWindow(ByteRange range, std::span<std::byte> window) = 0;

  /// Small read (headers, indexes), synchronous, any alignment. into.size() == range.size().
  virtual Result<void> Read(ByteRange range, std::span<std::byte> into) = 0;
};

/// One new object, written front to back, unreadable until Commit(). Leaving without Commit()
/// abandons it: nothing appears.
class ObjectWriter {
 public:
  virtual ~ObjectWriter() = default;
  virtual Result<void> Append(std::span<const std::byte> bytes) = 0;
  /// Last call. Durable and visible under its name when it returns.
  virtual Result<ObjectInfo> Commit() = 0;
};

/// One new object of known size, filled in any order, unreadable until Commit(). Leaving without
/// Commit() abandons it. Thread-safe for disjoint ranges.
class PositionedWriter {
 public:
  virtual ~PositionedWriter() = default;
  /// At the borders of segments, writes of ranges that are no multiples of this must be avoided;
  /// 1: any range will do.
  virtual uint64_t alignment() const { return kIoAlignment; }
  /// The memory in which a writer gathers the bytes of `range` before they leave: to be filled, and
  /// then given to WriteAt() as it is, which saves a copy. Congruent to the offset modulo 8. Empty
  /// where there is none: file systems have none, and a bucket none for a range over two of its
  /// parts. May wait for memory, as WriteAt() may.
  virtual Result<std::span<std::byte>> Room(ByteRange range);
  /// Asynchronous. Fast where offset, size and address are multiples of alignment(); correct
  /// everywhere, except that two writes under way at once must not share a block of alignment()
  /// bytes. `bytes` must live until the future is ready. Errors: kIo; kCannotCreate for a full disk
  /// or quota.
  virtual IoFuture WriteAt(uint64_t offset, std::span<const std::byte> bytes) = 0;
  /// The bytes of `range`, which begins and ends at borders of segments and was written whole (and
  /// waited for), are durable when it returns: of a kept object they outlive this writer. Returns
  /// what another writer of the object needs for TakeOver(): short text, "" where it needs nothing.
  virtual Result<std::string> Settle(ByteRange range) = 0;
  /// `range` was written by another writer of this kept object, whose Settle() gave `receipt`.
  /// Errors: kIo for a receipt of another object or range.
  virtual Result<void> TakeOver(ByteRange range, std::string_view receipt) = 0;
  /// Of a kept object: by this text (CreateOptions::session) another process goes on with it.
  /// Short, no secret, valid as long as the unfinished object is.
  virtual std::string session() const { return {}; }
  /// Last call: every byte of the size must have been written. Durable and visible under its name
  /// when it returns.
  virtual Result<ObjectInfo> Commit() = 0;
};

struct CreateOptions {
  /// Fail with kCannotCreate if the name exists: at once, or where only the end tells at Commit().
  /// One that holds the very same bytes by then may be success. False: it is replaced at Commit().
  bool is_create_only = true;
  /// Of a positioned object: the offsets at which segments begin that are filled independently of
  /// one another (ascending, without 0 and the size; may be empty). A segment's bytes arrive front
  /// to back from one thread at a time, segments in any order and side by side: a bucket cuts its
  /// parts along them. File systems have no need of it.
  std::vector<uint64_t> borders = {};
  /// Of a positioned object: what was written and settled outlives a writer that ends without
  /// Commit(), for others to go on with, also at the same time. Store::DropUnfinished() removes it.
  bool is_kept = false;
  /// Of a kept one: the unfinished object to go on with, as PositionedWriter::session() told; ""
  /// begins a new one. kNotFound if it is gone (committed, removed, expired).
  std::string session = {};
  /// A folder below the root where a file system keeps what is not whole yet; "": beside the
  /// object. A kept object's part always lies beside it. Of no meaning in buckets.
  std::string temporary_folder = {};
};

/// A place of objects below one root (a folder; later a bucket prefix, a hub repository).
/// Thread-safe. Names are relative, checked by SafeName() before they touch anything.
class Store {
 public:
  virtual ~Store() = default;
  virtual const Uri& root() const = 0;
  /// False for a sink: what is written to it cannot be read back, so no state of a run can lie
  /// beside its output.
  virtual bool KeepsObjects() const { return true; }

  /// The most that readers of all its objects hold beside the windows that they are given. Whoever
  /// plans a run counts it.
  virtual uint64_t held_bytes() const { return 0; }

  /// All objects below `prefix` (a folder; "" is all), sorted by name. A root that does not exist
  /// is an empty list.
  virtual Result<std::vector<ObjectInfo>> List(std::string_view prefix,
                                               std::stop_token stop = {}) = 0;
  /// kNotFound if there is no such object (a folder is none).
  virtual Result<ObjectInfo> Stat(std::string_view name) = 0;
  /// Opens the generation that `info` names; kBadInput if the object is another one now.
  virtual Result<std::unique_ptr<ObjectReader>> Open(const ObjectInfo& info) = 0;
  /// A small object as it is now: Stat(), Open() and Read(), or fewer requests. kBadInput if it is
  /// larger than `limit_bytes`.
  virtual Result<std::string> ReadWhole(std::string_view name, uint64_t limit_bytes);
  virtual Result<std::unique_ptr<ObjectWriter>> Create(std::string_view name,
                                                       CreateOptions options) = 0;
  virtual Result<std::unique_ptr<PositionedWriter>> CreatePositioned(std::string_view name,
                                                                     uint64_t size_bytes,
                                                                     CreateOptions options) = 0;
  /// True where a folder and all below it can get another name in one step (file systems): what is
  /// readable only as a whole is then made under a temporary name.
  virtual bool RenamesFolders() const { return false; }
  /// Gives the folder `from` the name `to`, which must not exist (or be an empty folder). Durable
  /// when it returns. Errors: kCannotCreate; kInternal where RenamesFolders() is false.
  virtual Result<void> RenameFolder(std::string_view from, std::string_view to);
  /// Gone and durable when it returns; a missing object is success. Folders left empty below the
  /// root go too.
  virtual Result<void> Remove(std::string_view name) = 0;
  /// All objects below the folder, as Remove() would; cheaper where a folder is made durable once.
  virtual Result<void> RemoveAll(std::string_view folder);

  /// What was written of an unfinished kept object so far, to be read; null where a store cannot.
  virtual Result<std::unique_ptr<ObjectReader>> OpenUnfinished(std::string_view name,
                                                               std::string_view session);
  /// Removes an unfinished kept object; one that is gone is success.
  virtual Result<void> DropUnfinished(std::string_view name, std::string_view session);
  /// Removes what writers that were killed left below a folder ("" is all), or of the object of
  /// that name, and List() does not show: unfinished uploads. Returns how many. Nobody may be
  /// writing there.
  virtual Result<size_t> DropUnfinishedBelow(std::string_view folder);
};

/// The one door for names from outside (index files, tar members, hub listings): relative, no
/// empty, "." or ".." part, no NUL, backslash or drive letter, at most 255 bytes a part. kBadInput
/// names the part.
Result<void> SafeName(std::string_view name);

/// Create, append, commit.
Result<ObjectInfo> WriteSmallObject(Store& store, std::string_view name, std::string_view text,
                                    CreateOptions options);
/// Makes an object that several processes may make at once, all of them with these bytes: the
/// first does, and one that is there with them is success. kCannotCreate for any other.
Result<void> WriteSmallObjectOnce(Store& store, std::string_view name, std::string_view text,
                                  CreateOptions options);

}  // namespace ckpt
