#include "cli/watched.h"

#include <csignal>

namespace ckpt {

tl::unexpected<Error> StoppedBy(int signal, const char* remedy) {
  const bool is_terminate = signal == SIGTERM;
  return Fail(is_terminate ? Code::kTerminated : Code::kInterrupted,
              is_terminate ? "stopped by SIGTERM" : "stopped by SIGINT", remedy);
}

}  // namespace ckpt
