#pragma once

namespace ckpt {

/// Makes SIGINT and SIGTERM wait to be asked for, in this thread and all that it starts. Call first
/// in main().
void BlockStopSignals();

/// Whether one has come that nobody has asked for yet; it stays to be asked for. Any thread.
bool IsStopPending();

/// The stop signal that has come (SIGINT or SIGTERM), or 0; remembers the first. Main thread only.
class StopSignals {
 public:
  int Poll();
  /// Whether a SIGINT has come after the first: the user wants no orderly end.
  bool IsUrgent() const { return is_urgent_; }

 private:
  int received_ = 0;
  bool is_urgent_ = false;
};

}  // namespace ckpt
