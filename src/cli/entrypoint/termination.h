#pragma once

#include <string>
#include <string_view>

namespace ckpt::contract {

/// What Kubernetes takes of a container's last message.
inline constexpr size_t kMostTerminationBytes = 4096;
inline constexpr std::string_view kDefaultTerminationLog = "/dev/termination-log";

/// The text, cut to what Kubernetes takes, never inside a character.
std::string CutForTermination(std::string text);

/// Writes the container's last message to `path` ("" for the usual place) if that exists and can be
/// written. A message that cannot be left changes nothing: best effort.
void LeaveTermination(const std::string& path, const std::string& text);

}  // namespace ckpt::contract
