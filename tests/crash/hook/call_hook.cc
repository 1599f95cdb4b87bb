// A library that is loaded before a program (LD_PRELOAD) and counts its calls that change files
// below a folder: it writes them down, or ends the program by SIGKILL at a chosen one. It costs
// next to nothing, where a tracer doubles the time of a run.
//
//   CALL_HOOK_FOLDER  the folder, absolute. Without it nothing is counted.
//   CALL_HOOK_LOG     a file: a line for each call that counts, "NAME PATH" or "NAME PATH -> PATH"
//   CALL_HOOK_ONLY    a pattern of fnmatch(3): only calls whose line matches it count
//   CALL_HOOK_KILL    the number of a call, from 1: SIGKILL before it is carried out
//   CALL_HOOK_AFTER   set: SIGKILL when it has been carried out
//
// Calls of all threads count in one order, as they are begun. Calls that libc makes for itself are
// not seen (fopen, opendir): the program writes by none of these; a test holds the list of calls to
// what strace sees.
#include <dlfcn.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <climits>
#include <csignal>
#include <cstdarg>
#include <cstdlib>
#include <string>
#include <string_view>

namespace {

std::string Variable(const char* name) {
  const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): nothing sets variables
  return value == nullptr ? "" : value;
}

struct Wish {
  std::string folder = Variable("CALL_HOOK_FOLDER");
  std::string log = Variable("CALL_HOOK_LOG");
  std::string only = Variable("CALL_HOOK_ONLY");
  unsigned long kill = std::strtoul(Variable("CALL_HOOK_KILL").c_str(), nullptr, 10);
  bool is_after = !Variable("CALL_HOOK_AFTER").empty();
};

const Wish& Wished() {
  static const Wish wish;
  return wish;
}

template <typename Function>
Function* Next(const char* name) {
  return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

std::string PathOf(int descriptor) {
  std::array<char, PATH_MAX> path{};
  const std::string link = "/proc/self/fd/" + std::to_string(descriptor);
  const ssize_t length = readlink(link.c_str(), path.data(), path.size());
  return length < 0 ? "" : std::string(path.data(), static_cast<size_t>(length));
}

std::string PathAt(int folder, const char* path) {
  if (path == nullptr || path[0] == '\0') return folder == AT_FDCWD ? "" : PathOf(folder);
  if (path[0] == '/') return path;
  if (folder != AT_FDCWD) return PathOf(folder) + "/" + path;
  std::array<char, PATH_MAX> here{};
  return std::string(getcwd(here.data(), here.size()) == nullptr ? "" : here.data()) + "/" + path;
}

bool IsBelow(std::string_view path) {
  const std::string_view folder = Wished().folder;
  return path.starts_with(folder) && (path.size() == folder.size() || path[folder.size()] == '/');
}

void WriteDown(const std::string& line) {
  static const int file = Next<int(const char*, int, ...)>("open")(
      Wished().log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  const std::string whole = line + "\n";
  (void)!Next<ssize_t(int, const void*, size_t)>("write")(file, whole.data(), whole.size());
}

// One call; its end is the call's end.
class Call {
 public:
  Call(std::string_view name, const std::string& path, const std::string& second = "") {
    if (Wished().folder.empty() || !(IsBelow(path) || IsBelow(second))) return;
    const std::string line =
        std::string(name) + " " + path + (second.empty() ? "" : " -> " + second);
    if (!Wished().only.empty() && fnmatch(Wished().only.c_str(), line.c_str(), 0) != 0) return;
    static std::atomic<unsigned long> count{0};
    is_last_ = ++count == Wished().kill;
    if (!Wished().log.empty()) WriteDown(line);
    if (is_last_ && !Wished().is_after) Kill();
  }
  ~Call() {
    if (is_last_) Kill();
  }
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

 private:
  static void Kill() {
    kill(getpid(), SIGKILL);
    for (;;) pause();  // the signal may meet another thread first
  }
  bool is_last_ = false;
};

bool Makes(int flags) { return (flags & (O_CREAT | O_TRUNC)) != 0; }

mode_t ModeOf(int flags, va_list arguments) {
  return (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(arguments, mode_t) : 0;
}

}  // namespace

// The names and types are libc's. Off_t has 64 bits on all that this is built for, so both names of
// a call take the same.
// NOLINTBEGIN(readability-identifier-naming, bugprone-reserved-identifier)
// NOLINTBEGIN(bugprone-macro-parentheses): lists of types and words bring their own
#define CALL_HOOK_OF_DESCRIPTOR(NAME, RESULT, TYPES, WORDS)                       \
  extern "C" RESULT NAME TYPES {                                                  \
    static auto* const next = Next<RESULT TYPES>(#NAME);                          \
    const Call call(#NAME, Wished().folder.empty() ? std::string() : PathOf(fd)); \
    return next WORDS;                                                            \
  }
#define CALL_HOOK_OF_PATH(NAME, TYPES, WORDS, FOLDER) \
  extern "C" int NAME TYPES {                         \
    static auto* const next = Next<int TYPES>(#NAME); \
    const Call call(#NAME, PathAt(FOLDER, path));     \
    return next WORDS;                                \
  }
#define CALL_HOOK_OF_TWO(NAME, TYPES, WORDS, FROM, TO)              \
  extern "C" int NAME TYPES {                                       \
    static auto* const next = Next<int TYPES>(#NAME);               \
    const Call call(#NAME, PathAt(FROM, path), PathAt(TO, second)); \
    return next WORDS;                                              \
  }

CALL_HOOK_OF_DESCRIPTOR(write, ssize_t, (int fd, const void* bytes, size_t size), (fd, bytes, size))
CALL_HOOK_OF_DESCRIPTOR(pwrite, ssize_t, (int fd, const void* bytes, size_t size, off_t at),
                        (fd, bytes, size, at))
CALL_HOOK_OF_DESCRIPTOR(pwrite64, ssize_t, (int fd, const void* bytes, size_t size, off_t at),
                        (fd, bytes, size, at))
CALL_HOOK_OF_DESCRIPTOR(writev, ssize_t, (int fd, const iovec* parts, int count),
                        (fd, parts, count))
CALL_HOOK_OF_DESCRIPTOR(pwritev, ssize_t, (int fd, const iovec* parts, int count, off_t at),
                        (fd, parts, count, at))
CALL_HOOK_OF_DESCRIPTOR(pwritev2, ssize_t,
                        (int fd, const iovec* parts, int count, off_t at, int flags),
                        (fd, parts, count, at, flags))
CALL_HOOK_OF_DESCRIPTOR(ftruncate, int, (int fd, off_t size), (fd, size))
CALL_HOOK_OF_DESCRIPTOR(ftruncate64, int, (int fd, off_t size), (fd, size))
CALL_HOOK_OF_DESCRIPTOR(fallocate, int, (int fd, int mode, off_t at, off_t size),
                        (fd, mode, at, size))
CALL_HOOK_OF_DESCRIPTOR(fallocate64, int, (int fd, int mode, off_t at, off_t size),
                        (fd, mode, at, size))
CALL_HOOK_OF_DESCRIPTOR(fsync, int, (int fd), (fd))
CALL_HOOK_OF_DESCRIPTOR(fdatasync, int, (int fd), (fd))
CALL_HOOK_OF_DESCRIPTOR(sync_file_range, int, (int fd, off_t at, off_t size, unsigned flags),
                        (fd, at, size, flags))
CALL_HOOK_OF_DESCRIPTOR(fchmod, int, (int fd, mode_t mode), (fd, mode))
CALL_HOOK_OF_DESCRIPTOR(sendfile, ssize_t, (int fd, int from, off_t* at, size_t size),
                        (fd, from, at, size))

CALL_HOOK_OF_PATH(mkdir, (const char* path, mode_t mode), (path, mode), AT_FDCWD)
CALL_HOOK_OF_PATH(mkdirat, (int folder, const char* path, mode_t mode), (folder, path, mode),
                  folder)
CALL_HOOK_OF_PATH(rmdir, (const char* path), (path), AT_FDCWD)
CALL_HOOK_OF_PATH(unlink, (const char* path), (path), AT_FDCWD)
CALL_HOOK_OF_PATH(unlinkat, (int folder, const char* path, int flags), (folder, path, flags),
                  folder)
CALL_HOOK_OF_PATH(truncate, (const char* path, off_t size), (path, size), AT_FDCWD)
CALL_HOOK_OF_PATH(fchmodat, (int folder, const char* path, mode_t mode, int flags),
                  (folder, path, mode, flags), folder)
CALL_HOOK_OF_PATH(utimensat, (int folder, const char* path, const timespec* times, int flags),
                  (folder, path, times, flags), folder)

CALL_HOOK_OF_TWO(rename, (const char* path, const char* second), (path, second), AT_FDCWD, AT_FDCWD)
CALL_HOOK_OF_TWO(renameat, (int from, const char* path, int to, const char* second),
                 (from, path, to, second), from, to)
CALL_HOOK_OF_TWO(renameat2,
                 (int from, const char* path, int to, const char* second, unsigned flags),
                 (from, path, to, second, flags), from, to)
CALL_HOOK_OF_TWO(link, (const char* path, const char* second), (path, second), AT_FDCWD, AT_FDCWD)
CALL_HOOK_OF_TWO(linkat, (int from, const char* path, int to, const char* second, int flags),
                 (from, path, to, second, flags), from, to)

extern "C" int symlink(const char* target, const char* path) {
  const Call call("symlink", PathAt(AT_FDCWD, path));
  return Next<int(const char*, const char*)>("symlink")(target, path);
}

// NOLINTBEGIN(cert-dcl50-cpp): libc's own are variadic
extern "C" int open(const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = ModeOf(flags, arguments);
  va_end(arguments);
  const Call call("open", Makes(flags) ? PathAt(AT_FDCWD, path) : std::string());
  return Next<int(const char*, int, ...)>("open")(path, flags, mode);
}

extern "C" int openat(int folder, const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = ModeOf(flags, arguments);
  va_end(arguments);
  const Call call("openat", Makes(flags) ? PathAt(folder, path) : std::string());
  return Next<int(int, const char*, int, ...)>("openat")(folder, path, flags, mode);
}
// NOLINTEND(cert-dcl50-cpp)
// NOLINTEND(bugprone-macro-parentheses)
// NOLINTEND(readability-identifier-naming, bugprone-reserved-identifier)
