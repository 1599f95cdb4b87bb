#include "store/gs/session.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/message_digest.h"
#include "base/text.h"

namespace ckpt::gs {
namespace {

constexpr std::string_view kXml = "xml ";
constexpr std::string_view kComposed = "compose ";
constexpr size_t kIdDigits = 16;          // of a folder's name
constexpr size_t kMostIdBytes = 4 << 10;  // of an upload: theirs are some 100

bool IsPrintable(char letter) { return letter > ' ' && letter < '\x7f'; }

bool IsHex(char letter) {
  return (letter >= '0' && letter <= '9') || (letter >= 'a' && letter <= 'f');
}

}  // namespace

std::string PrintSession(const Session& session) {
  return std::string(session.is_composed ? kComposed : kXml) + session.id;
}

Result<Session> ParseSession(std::string_view text) {
  Session session;
  session.is_composed = text.starts_with(kComposed);
  if (session.is_composed || text.starts_with(kXml))
    session.id = text.substr(session.is_composed ? kComposed.size() : kXml.size());
  const bool is_good = session.is_composed
                           ? session.id.size() == kIdDigits &&
                                 std::all_of(session.id.begin(), session.id.end(), IsHex)
                           : !session.id.empty() && session.id.size() <= kMostIdBytes &&
                                 std::all_of(session.id.begin(), session.id.end(), IsPrintable);
  if (!is_good)
    return Fail(Code::kIo, fmt::format("no unfinished upload of this store: \"{}\"", Excerpt(text)),
                "the state of the run is damaged: remove it with ckpt clean, and run again");
  return session;
}

std::string ScratchFolder(std::string_view temporary, const Session& session) {
  // An upload's identifier may be long and have any character.
  return fmt::format(
      "{}/{}", temporary,
      session.is_composed ? session.id : Sha256Hex(PrintSession(session)).substr(0, kIdDigits));
}

Error GoneError() {
  return {Code::kIo,
          "the unfinished upload was removed: it expired, or a lifecycle rule or another program "
          "aborted it",
          {},
          {},
          "run again: it begins anew"};
}

}  // namespace ckpt::gs
