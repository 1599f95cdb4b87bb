#include "run/unfinished_file.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/json_text.h"
#include "run/find_object.h"

namespace ckpt {
namespace {

constexpr uint64_t kMostNoteBytes = 1ULL << 20;
constexpr int kTries = 5;  // each ends with another process having been faster

std::string NoteName(std::string_view state_name) {
  return StateFolder(state_name) + "/" + std::string(kUnfinishedName);
}

bool IsNotFound(const Error& error) { return error.code == Code::kNotFound; }

// Of an unfinished file: it is gone, or its name is taken.
bool IsClosed(const Error& error) { return IsNotFound(error) || error.code == Code::kCannotCreate; }

// Each time a writer is asked for, one more that goes on with what the others have settled: the
// parts of a file that wait in memory are only those of the segment at hand.
class KeptFiles final : public OutputFiles {
 public:
  KeptFiles(Store& store, const Plan& plan, std::vector<std::string> sessions)
      : store_(store), plan_(plan) {
    for (size_t i = 0; i < sessions.size(); ++i) {
      options_.push_back(FileOptions(plan, i));
      options_.back().is_kept = true;
      options_.back().session = std::move(sessions[i]);
    }
  }

  Result<std::shared_ptr<PositionedWriter>> Open(size_t file) override {
    const FileSpec& spec = plan_.output.files[file];
    Result<std::unique_ptr<PositionedWriter>> writer =
        store_.CreatePositioned(spec.name, spec.size_bytes, options_[file]);
    if (writer) return std::shared_ptr<PositionedWriter>(*std::move(writer));
    if (!IsClosed(writer.error())) return Fail(std::move(writer).error());
    // Whole: by another committer, or before this process began.
    CKPT_TRY(const bool is_whole, HasObject(store_, spec.name, spec.size_bytes));
    if (!is_whole) return Fail(std::move(writer).error());
    return std::shared_ptr<PositionedWriter>(MakeFinishedWriter(spec.name, spec.size_bytes));
  }

 private:
  Store& store_;
  const Plan& plan_;
  std::vector<CreateOptions> options_;  // by file
};

// Opens the files of one process.
class Opener {
 public:
  Opener(Store& store, Journal& journal, const Plan& plan)
      : store_(store), journal_(journal), plan_(plan) {}

  // None if somebody else was at work on them, and the note has to be read again.
  Result<std::unique_ptr<OutputFiles>> Try() {
    only_.reset();
    sessions_.clear();
    const Result<std::vector<Unfinished>> begun = ReadUnfinished(store_, journal_.state_name());
    if (!begun && !IsNotFound(begun.error())) return Fail(begun.error());
    CKPT_TRY(const bool is_open, begun ? Continue(*begun) : Begin());
    if (!is_open) return nullptr;
    if (!only_) return std::make_unique<KeptFiles>(store_, plan_, sessions_);
    std::vector<std::shared_ptr<PositionedWriter>> writers;
    writers.push_back(std::move(only_));
    return std::make_unique<OpenFiles>(std::move(writers));
  }

  const std::vector<std::string>& sessions() const { return sessions_; }

 private:
  const FileSpec& File(size_t i) const { return plan_.output.files[i]; }

  // An only file stays open for all lanes; of several each lane opens what it needs.
  Result<void> Open(size_t i, const std::string& session) {
    CreateOptions options = FileOptions(plan_, i);
    options.is_kept = true;
    options.session = session;
    CKPT_TRY(std::unique_ptr<PositionedWriter> writer,
             store_.CreatePositioned(File(i).name, File(i).size_bytes, std::move(options)));
    sessions_.push_back(writer->session());
    if (plan_.output.files.size() == 1) only_ = std::move(writer);
    return {};
  }

  // Goes on with the files of a note.
  Result<bool> Continue(const std::vector<Unfinished>& begun) {
    for (size_t i = 0; i < plan_.output.files.size(); ++i) {
      const std::string session = i < begun.size() ? begun[i].session : "";
      Result<void> opened =
          session.empty() ? Fail(Code::kNotFound, "the note tells of other files", "run again")
                          : Open(i, session);
      if (opened) continue;
      if (!IsClosed(opened.error())) return Fail(std::move(opened).error());
      // Gone: whole under its name, or lost. Then nothing of what was recorded is there any more.
      CKPT_TRY(const bool is_whole, HasObject(store_, File(i).name, File(i).size_bytes));
      if (is_whole) {
        if (plan_.output.files.size() == 1) return Fail(std::move(opened).error());
        sessions_.push_back(session);
        continue;
      }
      if (!IsNotFound(opened.error())) return Fail(std::move(opened).error());
      CKPT_TRY_VOID(journal_.DropAll());
      CKPT_TRY_VOID(Drop(begun));
      CKPT_TRY_VOID(store_.Remove(NoteName(journal_.state_name())));
      return false;
    }
    return true;
  }

  // Makes new files, and a note that tells of them.
  Result<bool> Begin() {
    // Records without files are of some that are gone. A note that has come meanwhile gives them a
    // new meaning.
    CKPT_TRY(const std::vector<uint32_t> numbers, journal_.List());
    const Result<std::vector<Unfinished>> begun = ReadUnfinished(store_, journal_.state_name());
    if (begun) return false;
    if (!IsNotFound(begun.error())) return Fail(begun.error());
    CKPT_TRY_VOID(journal_.Drop(numbers));
    nlohmann::ordered_json files = nlohmann::ordered_json::array();
    std::vector<Unfinished> own;
    for (size_t i = 0; i < plan_.output.files.size(); ++i) {
      CKPT_TRY_VOID(Open(i, ""));
      own.push_back({File(i).name, sessions_.back()});
      files.push_back(
          {{"object", File(i).name}, {"size", File(i).size_bytes}, {"session", sessions_.back()}});
    }
    const nlohmann::ordered_json json = {{"files", files}};
    const Result<ObjectInfo> told =
        WriteSmallObject(store_, NoteName(journal_.state_name()), PrintJson(json) + "\n",
                         StateObject(journal_.state_name(), true));
    if (told) return true;
    if (told.error().code != Code::kCannotCreate) return Fail(told.error());
    const Result<std::vector<Unfinished>> theirs = ReadUnfinished(store_, journal_.state_name());
    const auto is_same = [](const Unfinished& a, const Unfinished& b) {
      return a.object == b.object && a.session == b.session;
    };
    if (theirs && std::equal(theirs->begin(), theirs->end(), own.begin(), own.end(), is_same))
      return true;
    only_.reset();
    CKPT_TRY_VOID(Drop(own));
    // Nobody's note is there: ours could not be made.
    if (!theirs && IsNotFound(theirs.error())) return Fail(told.error());
    return false;
  }

  Result<void> Drop(const std::vector<Unfinished>& files) {
    for (const Unfinished& file : files)
      CKPT_TRY_VOID(store_.DropUnfinished(file.object, file.session));
    return {};
  }

  Store& store_;
  Journal& journal_;
  const Plan& plan_;
  std::vector<std::string> sessions_;
  std::unique_ptr<PositionedWriter> only_;
};

}  // namespace

Result<std::vector<Unfinished>> ReadUnfinished(Store& store, std::string_view state_name) {
  CKPT_TRY(const std::string text, store.ReadWhole(NoteName(state_name), kMostNoteBytes));
  const auto json = ParseJson(text);
  const auto word = [](const nlohmann::json& file, const char* key) {
    const auto found = file.is_object() ? file.find(key) : file.end();
    return found != file.end() && found->is_string() ? found->get<std::string>() : std::string();
  };
  std::vector<Unfinished> files;
  bool is_good = json.is_object() && json.contains("files") && json["files"].is_array();
  for (size_t i = 0; is_good && i < json["files"].size(); ++i) {
    files.push_back({word(json["files"][i], "object"), word(json["files"][i], "session")});
    is_good = !files.back().session.empty() && SafeName(files.back().object);
  }
  if (!is_good || files.empty())
    return Result<std::vector<Unfinished>>(
               Fail(Code::kIo, "the note of the unfinished files is damaged",
                    "remove what was begun with \"ckpt clean\", then run again"))
        .map_error(Where("file", store.root().PrintBelow(NoteName(state_name))));
  return files;
}

Result<UnfinishedFiles> OpenUnfinishedFiles(Store& store, Journal& journal, const Plan& plan) {
  Opener opener(store, journal, plan);
  for (int i = 0; i < kTries; ++i) {
    CKPT_TRY(std::unique_ptr<OutputFiles> files, opener.Try());
    if (files) return UnfinishedFiles{opener.sessions(), std::move(files)};
  }
  return Fail(Code::kTemporary, "other programs begin and remove this output all the time",
              "let one run at a time write it");
}

Result<void> DropUnfinishedFiles(Store& store, std::string_view state_name) {
  const Result<std::vector<Unfinished>> begun = ReadUnfinished(store, state_name);
  if (begun) {
    for (const Unfinished& file : *begun)
      CKPT_TRY_VOID(store.DropUnfinished(file.object, file.session));
    return {};
  }
  // A damaged note leads nowhere.
  if (IsNotFound(begun.error()) || begun.error().code == Code::kIo) return {};
  return Fail(begun.error());
}

}  // namespace ckpt
