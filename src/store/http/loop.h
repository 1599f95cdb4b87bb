#pragma once

#include <functional>
#include <map>
#include <memory>
#include <random>
#include <vector>

#include "base/random.h"
#include "base/result.h"
#include "store/http/exchange.h"
#include "store/http/proxy.h"
#include "store/http/tally.h"
#include "store/http/transfer_queue.h"

namespace ckpt::http {

/// One I/O thread's work: a multi handle of libcurl that serves several transfers at once. All but
/// Wake() belongs to that thread.
class Loop {
 public:
  struct Context {  // outlives the loop
    const EngineOptions& options;
    const Proxies& proxies;
    TransferQueue& queue;
    Tally& tally;
    std::function<bool()> has_stop;                   ///< some of what is under way is to be ended
    std::function<bool(const Transfer&)> is_stopped;  ///< this one, with kInterrupted
    std::function<bool()> is_over;                    ///< nothing can come any more
  };
  /// Serves at most `connections` transfers at once.
  static Result<std::unique_ptr<Loop>> Make(Context context, unsigned connections);
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;
  ~Loop();

  void Run();
  /// Thread-safe. Looks at the queue and the context again.
  void Wake();

 private:
  struct Active {
    std::unique_ptr<Transfer> transfer;
    std::unique_ptr<Exchange> exchange;
    std::string origin;
    Time begun;
  };

  Loop(Context context, void* multi, unsigned connections);
  void EndStopped();
  bool TakeOne();  // false where there is nothing to take
  void Begin(std::unique_ptr<Transfer> transfer);
  void EndCompleted();
  void EndStalled();
  void End(std::map<void*, Active>::iterator active, int curl_code, bool is_stalled);
  void Follow(std::unique_ptr<Transfer> transfer, Step step, Time now);
  int WaitMs() const;

  const Context context_;
  void* const multi_;
  const unsigned connections_;
  std::map<void*, Active> active_;  // by easy handle
  std::vector<std::unique_ptr<Exchange>> idle_;
  std::mt19937_64 random_{RandomBits()};
};

}  // namespace ckpt::http
