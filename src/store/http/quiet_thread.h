#pragma once

#include <csignal>
#include <functional>
#include <string>
#include <system_error>
#include <thread>

#include "base/result.h"

namespace ckpt::http {

/// A thread that takes no signals, so that SIGTERM reaches whoever waits for it, and a closed
/// connection raises no SIGPIPE. kResources if the system refuses it.
inline Result<std::thread> StartQuietThread(std::function<void()> work) {
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  std::thread thread;
  std::string refusal;
  try {
    thread = std::thread(std::move(work));
  } catch (const std::system_error& e) {
    refusal = e.what();
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (!refusal.empty())
    return Fail(Code::kResources, "cannot start a network thread: " + refusal,
                "raise the number of processes (ulimit -u, or the container's pids limit)");
  return thread;
}

}  // namespace ckpt::http
