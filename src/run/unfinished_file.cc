#include "run/unfinished_file.h"

#include <nlohmann/json.hpp>

#include "base/json_text.h"

namespace ckpt {
namespace {

constexpr uint64_t kMostNoteBytes = 64ULL << 10;
constexpr int kTries = 5;  // each ends with another process having been faster

std::string NoteName(std::string_view state_name) {
  return StateFolder(state_name) + "/" + std::string(kUnfinishedName);
}

bool IsNotFound(const Error& error) { return error.code == Code::kNotFound; }

// The open file; none if somebody else was at work on it, and the note has to be read again.
using Opened = Result<std::unique_ptr<PositionedWriter>>;

// Goes on with the file of a note, whose session is among the options.
Opened ContinueFile(Store& store, Journal& journal, std::string_view name, uint64_t size_bytes,
                    CreateOptions kept) {
  Opened writer = store.CreatePositioned(name, size_bytes, std::move(kept));
  if (writer || !IsNotFound(writer.error())) return writer;
  // Gone: whole under its name, or lost. Then nothing of what was recorded is there any more.
  const Result<ObjectInfo> whole = store.Stat(name);
  if (whole && whole->size_bytes == size_bytes) return Fail(std::move(writer).error());
  if (!whole && !IsNotFound(whole.error())) return Fail(whole.error());
  CKPT_TRY_VOID(journal.DropAll());
  CKPT_TRY_VOID(store.Remove(NoteName(journal.state_name())));
  return nullptr;
}

// Makes a new file, and a note that tells of it.
Opened BeginFile(Store& store, Journal& journal, std::string_view name, uint64_t size_bytes,
                 CreateOptions kept) {
  // Records without a file are of one that is gone. A note that has come meanwhile gives them a
  // new meaning.
  CKPT_TRY(const std::vector<uint32_t> numbers, journal.List());
  if (ReadUnfinished(store, journal.state_name())) return nullptr;
  CKPT_TRY_VOID(journal.Drop(numbers));
  CKPT_TRY(std::unique_ptr<PositionedWriter> writer,
           store.CreatePositioned(name, size_bytes, std::move(kept)));
  const nlohmann::ordered_json json = {
      {"object", name}, {"size", size_bytes}, {"session", writer->session()}};
  const Result<ObjectInfo> told =
      WriteSmallObject(store, NoteName(journal.state_name()), PrintJson(json) + "\n",
                       StateObject(journal.state_name(), true));
  if (told) return writer;
  if (told.error().code != Code::kCannotCreate) return Fail(told.error());
  const Result<Unfinished> theirs = ReadUnfinished(store, journal.state_name());
  if (theirs && theirs->session == writer->session()) return writer;
  const std::string own = writer->session();
  writer.reset();
  CKPT_TRY_VOID(store.DropUnfinished(name, own));
  // Nobody's note is there: ours could not be made.
  if (!theirs && IsNotFound(theirs.error())) return Fail(told.error());
  return nullptr;
}

}  // namespace

Result<Unfinished> ReadUnfinished(Store& store, std::string_view state_name) {
  CKPT_TRY(const std::string text, store.ReadWhole(NoteName(state_name), kMostNoteBytes));
  const auto json = ParseJson(text);
  const auto word = [&](const char* key) {
    const auto found = json.is_object() ? json.find(key) : json.end();
    return found != json.end() && found->is_string() ? found->get<std::string>() : std::string();
  };
  Unfinished unfinished{word("object"), word("session")};
  if (unfinished.session.empty() || !SafeName(unfinished.object))
    return Result<Unfinished>(Fail(Code::kIo, "the note of the unfinished file is damaged",
                                   "remove what was begun with \"ckpt clean\", then run again"))
        .map_error(Where("file", store.root().PrintBelow(NoteName(state_name))));
  return unfinished;
}

Result<std::unique_ptr<PositionedWriter>> OpenUnfinishedFile(Store& store, Journal& journal,
                                                             std::string_view name,
                                                             uint64_t size_bytes,
                                                             const CreateOptions& options) {
  for (int i = 0; i < kTries; ++i) {
    const Result<Unfinished> begun = ReadUnfinished(store, journal.state_name());
    if (!begun && !IsNotFound(begun.error())) return Fail(begun.error());
    CreateOptions kept = options;
    kept.is_kept = true;
    if (begun) kept.session = begun->session;
    CKPT_TRY(std::unique_ptr<PositionedWriter> writer,
             (begun ? ContinueFile : BeginFile)(store, journal, name, size_bytes, std::move(kept)));
    if (writer) return writer;
  }
  return Fail(Code::kTemporary, "other programs begin and remove this output all the time",
              "let one run at a time write it");
}

Result<void> DropUnfinishedFile(Store& store, std::string_view state_name) {
  const Result<Unfinished> begun = ReadUnfinished(store, state_name);
  if (begun) return store.DropUnfinished(begun->object, begun->session);
  // A damaged note leads nowhere.
  if (IsNotFound(begun.error()) || begun.error().code == Code::kIo) return {};
  return Fail(begun.error());
}

}  // namespace ckpt
