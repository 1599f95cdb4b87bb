#include "cli/watched.h"

#include <csignal>
#include <cstdlib>

namespace ckpt {

tl::unexpected<Error> StoppedBy(int signal, const char* remedy) {
  const bool is_terminate = signal == SIGTERM;
  return Fail(is_terminate ? Code::kTerminated : Code::kInterrupted,
              is_terminate ? "stopped by SIGTERM" : "stopped by SIGINT", remedy);
}

void EndAtOnce(int signal) { std::_Exit(128 + signal); }

Error AsStopped(Error error, const char* remedy) {
  if (error.code != Code::kInterrupted) return error;
  const int signal = StopSignals().Poll();
  return signal == 0 ? error : StoppedBy(signal, remedy).value();
}

}  // namespace ckpt
