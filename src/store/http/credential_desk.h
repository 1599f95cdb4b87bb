#pragma once

#include <condition_variable>
#include <deque>
#include <mutex>

#include "store/http/transfer_queue.h"

namespace ckpt::http {

/// Thread-safe. Where credentials are obtained: authorizers may wait (for a token service, through
/// this very engine), so a thread of their own calls them.
class CredentialDesk {
 public:
  void Post(CredentialJob job);
  /// The thread's root: until End(). What is left then is forgotten.
  void Serve(TransferQueue& queue);
  void End();

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<CredentialJob> jobs_;
  bool is_ending_ = false;
};

}  // namespace ckpt::http
