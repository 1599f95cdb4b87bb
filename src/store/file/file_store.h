#pragma once

#include <cstdint>
#include <memory>

#include "base/result.h"
#include "base/uri.h"
#include "store/store.h"

namespace ckpt {

/// How bulk reads and writes go. Why direct is the default: docs/decisions/0003-direct-io.md.
enum class IoMode : uint8_t {
  kAuto,    ///< direct; buffered for files that lie in the page cache already, and where direct I/O
            ///< is refused
  kDirect,  ///< always past the page cache; kUsage where the file system refuses
  kBuffered,  ///< always through the page cache
};

struct FileStoreOptions {
  IoMode io_mode = IoMode::kAuto;
  unsigned io_threads = 0;  ///< 0: one for each core, 3 to 16
};

/// The store of local and mounted file systems, below the folder `root` (scheme file).
///  * Reading follows symbolic links to files, as caches of model hubs are made of them; List()
///  does not descend into
///    links to folders (which may lead in circles), though Stat() and Open() take names through
///    them.
///  * Writing goes through no symbolic link below the root. Files appear by rename, mode 0644 less
///  umask; folders are
///    made as needed, and those made are removed again if what was to be in them is abandoned.
///  * A generation is size, modification time and inode. A reader holds the file it opened: when
///  another file takes its
///    name, it goes on reading the pinned one; when the file itself is changed or cut, reads fail
///    with kBadInput.
///  * A sequential writer writes NAME.PID-RANDOM.tmp, unique to it. A positioned writer writes
///  NAME.part (or, in CreateOptions::temporary_folder, a name of its own), shared by all
///    writers of that name (the shards of one plan, which write equal bytes at equal places): never
///    emptied when opened, removed for all when one of them is abandoned (unless it is
///  kept); when one has committed
///    it, the others' Commit() succeeds. After SIGKILL either may stay behind; List() shows them,
///    as it shows every regular file.
///  * Errors carry the place "file", and "byte" where a range was read or written.
/// Readers and writers must not outlive the store; their ends wait for what is under way.
/// Errors: kUsage for another scheme, kResources if no thread can be started. Does not touch the
/// folder.
Result<std::unique_ptr<Store>> OpenFileStore(Uri root, FileStoreOptions options = {});

}  // namespace ckpt
