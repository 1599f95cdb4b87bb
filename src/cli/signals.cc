#include "cli/signals.h"

#include <csignal>
#include <ctime>

namespace ckpt {
namespace {

sigset_t StopSet() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  return set;
}

}  // namespace

void BlockStopSignals() {
  const sigset_t set = StopSet();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  // A reader of our output that goes away is an error of a write, not a reason to die half-way.
  std::signal(SIGPIPE, SIG_IGN);
  // So is a file that grows over a limit: exit 73 with its reason.
  std::signal(SIGXFSZ, SIG_IGN);
}

bool IsStopPending() {
  sigset_t pending;
  return sigpending(&pending) == 0 &&
         (sigismember(&pending, SIGINT) == 1 || sigismember(&pending, SIGTERM) == 1);
}

int StopSignals::Poll() {
  const sigset_t set = StopSet();
  const timespec now{0, 0};
  const int signal = sigtimedwait(&set, nullptr, &now);
  // SIGTERM may come twice by itself: to a script that hands it on, and to its children.
  if (signal == SIGINT && received_ != 0) is_urgent_ = true;
  if (signal > 0 && received_ == 0) received_ = signal;
  return received_;
}

}  // namespace ckpt
