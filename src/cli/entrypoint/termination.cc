#include "cli/entrypoint/termination.h"

#include <fcntl.h>
#include <unistd.h>

namespace ckpt::contract {

std::string CutForTermination(std::string text) {
  if (text.size() <= kMostTerminationBytes) return text;
  constexpr std::string_view more = "...\n";
  size_t end = kMostTerminationBytes - more.size();
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) --end;
  text.resize(end);
  text += more;
  return text;
}

void LeaveTermination(const std::string& path, const std::string& text) {
  // Kubernetes makes the usual file; one that the user names may be new.
  const bool is_usual = path.empty();
  const std::string name = is_usual ? std::string(kDefaultTerminationLog) : path;
  const int file = open(name.c_str(),
                        O_WRONLY | O_CLOEXEC | O_NOCTTY | O_TRUNC | (is_usual ? 0 : O_CREAT), 0644);
  if (file < 0) return;
  const std::string message = CutForTermination(text);
  for (size_t at = 0; at < message.size();) {
    const ssize_t wrote = write(file, message.data() + at, message.size() - at);
    if (wrote <= 0) break;
    at += static_cast<size_t>(wrote);
  }
  close(file);
}

}  // namespace ckpt::contract
