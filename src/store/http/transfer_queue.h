#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "store/http/pacer.h"
#include "store/http/transfer.h"

namespace ckpt::http {

/// Credentials to obtain for a transfer that waits in the queue.
struct CredentialJob {
  uint64_t number = 0;
  std::shared_ptr<Authorizer> authorizer;
  std::optional<Headers> refused;  ///< those that were answered with 401
};

/// Thread-safe. The transfers that are not on the wire: they wait for credentials, for the time of
/// their next try, or for a connection. Oldest first, within what each origin's pacer allows.
class TransferQueue {
 public:
  struct Hooks {
    std::function<void()> wake;                    ///< there may be something to take
    std::function<void(CredentialJob)> authorize;  ///< ends with Authorized() or Refused()
  };
  TransferQueue(unsigned connections, Hooks hooks)
      : connections_(connections), hooks_(std::move(hooks)) {}

  void Add(std::unique_ptr<Transfer> transfer);
  /// Not before `due`.
  void AddAt(std::unique_ptr<Transfer> transfer, Time due);
  /// Its credentials were refused.
  void AddForRenewal(std::unique_ptr<Transfer> transfer);
  /// The credentials of a waiting transfer; a transfer that is gone is ignored.
  void Authorized(uint64_t number, Headers headers);
  /// The transfer, to finish it without them; null if it is gone.
  std::unique_ptr<Transfer> TakeUnauthorized(uint64_t number);

  /// The next transfer to send, which then counts as under way to its origin until Release().
  std::unique_ptr<Transfer> Take(Time now);
  void Release(const std::string& origin, Pacer::Verdict verdict, Time begun, Time now);
  /// When the next delayed transfer is due.
  std::optional<Time> NextDue() const;
  /// Takes all those out of the queue.
  std::vector<std::unique_ptr<Transfer>> TakeIf(
      const std::function<bool(const Transfer&)>& is_taken);

 private:
  struct Line {  // of one origin
    Pacer pacer;
    std::map<uint64_t, std::unique_ptr<Transfer>> ready;  // by age
  };

  void Await(uint64_t number, std::unique_ptr<Transfer> transfer, std::optional<Headers> refused,
             std::unique_lock<std::mutex> lock);
  void PutReady(uint64_t number, std::unique_ptr<Transfer> transfer);

  const unsigned connections_;
  const Hooks hooks_;
  mutable std::mutex mutex_;
  uint64_t next_number_ = 0;
  std::map<std::string, Line> lines_;
  std::multimap<Time, std::unique_ptr<Transfer>> delayed_;
  std::map<uint64_t, std::unique_ptr<Transfer>> unauthorized_;
};

}  // namespace ckpt::http
