#include "base/error.h"

#include <fmt/format.h>

#include <algorithm>

namespace ckpt {

std::string_view Describe(Code code) {
  switch (code) {
    case Code::kUsage:
      return "wrong arguments";
    case Code::kBadInput:
      return "source damaged or unsupported";
    case Code::kNotFound:
      return "source not found";
    case Code::kUnavailable:
      return "service unavailable";
    case Code::kInternal:
      return "internal error";
    case Code::kResources:
      return "the system refused resources";
    case Code::kCannotCreate:
      return "output cannot be made";
    case Code::kIo:
      return "read or write failed";
    case Code::kTemporary:
      return "temporary failure";
    case Code::kDenied:
      return "permission denied";
    case Code::kNoCredential:
      return "credential missing";
    case Code::kInterrupted:
      return "interrupted";
    case Code::kTerminated:
      return "terminated";
  }
  return "error";
}

int ExitStatus(Code code) { return static_cast<int>(code); }

std::string Error::Print() const {
  std::string text = fmt::format("ckpt: {}: {}", Describe(code), what);
  for (const std::string& detail : details) text += "\n    " + detail;
  size_t width = std::string_view("remedy").size();
  for (const Place& place : where) width = std::max(width, place.kind.size());
  for (const Place& place : where)
    text += fmt::format("\n  {:<{}}  {}", place.kind, width, place.value);
  if (!remedy.empty()) text += fmt::format("\n  {:<{}}  {}", "remedy", width, remedy);
  text += fmt::format("  (exit {})", ExitStatus(code));
  return text;
}

std::function<Error(Error)> Where(std::string kind, std::string value) {
  return [place = Place{std::move(kind), std::move(value)}](Error error) {
    // Told once, as it is told last: "a.safetensors" is also "hf://org/name/a.safetensors".
    std::erase_if(error.where, [&](const Place& inner) {
      return inner.kind == place.kind &&
             (inner.value == place.value || place.value.ends_with("/" + inner.value));
    });
    error.where.push_back(place);
    return error;
  };
}

}  // namespace ckpt
