#include "cli/entrypoint/words.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/text.h"

namespace ckpt::contract {
namespace {

constexpr std::string_view kHelpHint =
    "-h is --huggingface and takes a value; -x or --help prints help";

bool LooksLikeFlag(std::string_view word) { return word.size() > 1 && word[0] == '-'; }

std::vector<std::string> AllNames() {
  std::vector<std::string> names;
  for (const FlagInfo& info : Flags()) names.push_back(fmt::format("--{}", info.name));
  return names;
}

class Parser {
 public:
  Parser(std::span<const std::string> arguments, Faults& faults)
      : arguments_(arguments), faults_(faults) {}

  Words Run() {
    while (at_ < arguments_.size()) {
      const std::string& word = arguments_[at_++];
      if (word == "--") {
        while (at_ < arguments_.size()) ignored_.push_back(arguments_[at_++]);
      } else if (word.starts_with("--")) {
        ReadLong(word, std::string_view(word).substr(2));
      } else if (LooksLikeFlag(word)) {
        ReadShort(word);
      } else {
        ignored_.push_back(word);
      }
    }
    if (!ignored_.empty()) {
      for (std::string& word : ignored_) word = Redacted(word);
      words_.warnings.push_back(
          fmt::format("ignored, because no flag takes them: {}", ListSome(ignored_, 5)));
    }
    return std::move(words_);
  }

 private:
  struct Split {
    std::string_view name;
    std::optional<std::string_view> value;
  };
  static Split SplitAtEquals(std::string_view text) {
    const size_t equals = text.find('=');
    if (equals == std::string_view::npos) return {text, std::nullopt};
    return {text.substr(0, equals), text.substr(equals + 1)};
  }

  void ReadLong(const std::string& word, std::string_view text) {
    const Split split = SplitAtEquals(text);
    const FlagInfo* info = FindName(split.name);
    if (info == nullptr) {
      const std::vector<const FlagInfo*> candidates = FindPrefix(split.name);
      if (candidates.size() > 1) {
        std::vector<std::string> names;
        names.reserve(candidates.size());
        for (const FlagInfo* candidate : candidates)
          names.push_back(fmt::format("--{}", candidate->name));
        faults_.Add(
            fmt::format("--{} is ambiguous: {}", Printable(split.name), ListSome(names, 12)),
            "write the flag's name in full");
        SkipValueOf(split);
        return;
      }
      if (candidates.empty()) {
        Unknown(word.substr(0, word.find('=')), split);
        return;
      }
      info = candidates.front();
    }
    Take(*info, fmt::format("--{}", info->name), split.value);
  }

  // -b=V, -b V, -bV, -xb V; or one dash before a whole long name.
  void ReadShort(const std::string& word) {
    std::string_view text = std::string_view(word).substr(1);
    const Split split = SplitAtEquals(text);
    if (split.name.size() > 1) {
      // Of the original only: a new name must not change what its first letter meant.
      if (const FlagInfo* info = FindName(split.name); info != nullptr && IsOriginal(info->flag)) {
        words_.warnings.push_back(fmt::format("-{} is read as --{}", split.name, info->name));
        Take(*info, fmt::format("--{}", info->name), split.value);
        return;
      }
    }
    while (!text.empty()) {
      const char letter = text.front();
      text.remove_prefix(1);
      const FlagInfo* info = FindLetter(letter);
      if (info == nullptr) {
        Split rest{text, std::nullopt};
        if (!text.empty()) rest.value = text;
        Unknown(fmt::format("-{}", Printable(std::string_view(&letter, 1))), rest);
        return;
      }
      if (info->kind == FlagKind::kHelp) {
        words_.wants_help = true;
        continue;
      }
      std::optional<std::string_view> value;
      if (!text.empty()) value = text.front() == '=' ? text.substr(1) : text;
      Take(*info, fmt::format("-{}", letter), value, letter);
      return;
    }
  }

  void Unknown(const std::string& name, const Split& split) {
    const std::string nearest = Nearest(name, AllNames());
    std::string remedy = fmt::format("did you mean {}?", nearest);
    if (nearest.empty()) remedy = "--help lists all flags";
    faults_.Add(fmt::format("{} is unknown", Printable(name)), remedy);
    SkipValueOf(split);
  }

  // What follows a flag that is not understood is its value, not a word to warn of.
  void SkipValueOf(const Split& split) {
    if (!split.value && at_ < arguments_.size() && !LooksLikeFlag(arguments_[at_])) ++at_;
  }

  void Take(const FlagInfo& info, const std::string& spelling,
            std::optional<std::string_view> value, char letter = 0) {
    if (info.kind == FlagKind::kHelp) {
      words_.wants_help = true;
      if (value) faults_.Add(fmt::format("{} takes no value", spelling), "leave the value out");
      return;
    }
    if (!value) {
      const bool has_next = at_ < arguments_.size();
      if (info.kind == FlagKind::kSwitch) {
        // Alone it is true; a boolean word behind it is its value.
        value = has_next && ParseBoolean(arguments_[at_]) && !arguments_[at_].empty()
                    ? std::string_view(arguments_[at_++])
                    : std::string_view("true");
      } else if (!has_next) {
        faults_.Add(fmt::format("{} needs a value", spelling), MissingRemedy(info, letter));
        return;
      } else if (LooksLikeFlag(arguments_[at_])) {
        // The next word is read as the flag that it is.
        faults_.Add(fmt::format("{} needs a value, and {} looks like a flag", spelling,
                                Redacted(arguments_[at_].substr(0, arguments_[at_].find('=')))),
                    MissingRemedy(info, letter));
        return;
      } else {
        value = arguments_[at_++];
      }
    }
    Store(info, spelling, *value, letter);
  }

  static std::string MissingRemedy(const FlagInfo& info, char letter) {
    if (letter == 'h') return std::string(kHelpHint);
    return fmt::format("give --{}=VALUE", info.name);
  }

  void Store(const FlagInfo& info, const std::string& spelling, std::string_view text,
             char letter) {
    std::string_view value = Trimmed(text);
    if (value.size() >= 2 && value.front() == value.back() &&
        (value.front() == '"' || value.front() == '\'')) {
      value = value.substr(1, value.size() - 2);
      words_.warnings.push_back(
          fmt::format("{}: the quotes around the value are left out", spelling));
    }
    Flag flag = info.flag;
    if (letter == 'i' && IsServer(value)) {
      flag = Flag::kInferenceServer;
      words_.notices.push_back(
          fmt::format("-i={} is read as --inference_server, as in the first versions", value));
    }
    if (!seen_.emplace(flag, value).second && seen_[flag] != value) {
      words_.warnings.push_back(
          fmt::format("--{} is given more than once: the last value counts", Info(flag).name));
      seen_[flag] = value;
    }
    if (info.kind == FlagKind::kSecret) {
      words_.meta_url = Secret(std::string(value));
    } else if (value.empty()) {
      words_.values.erase(flag);
    } else {
      words_.values[flag] = value;
    }
  }

  std::span<const std::string> arguments_;
  Faults& faults_;
  size_t at_ = 0;
  Words words_;
  std::map<Flag, std::string> seen_;
  std::vector<std::string> ignored_;
};

}  // namespace

const std::string& Words::Get(Flag flag) const {
  static const std::string none;
  const auto value = values.find(flag);
  return value == values.end() ? none : value->second;
}

bool IsServer(std::string_view word) { return word == kMaxTextServer || word == kPytorchServer; }

Words ParseWords(std::span<const std::string> arguments, Faults& faults) {
  return Parser(arguments, faults).Run();
}

std::optional<bool> ParseBoolean(std::string_view word) {
  constexpr std::array<std::string_view, 6> yes = {"true", "t", "yes", "y", "on", "1"};
  constexpr std::array<std::string_view, 7> no = {"false", "f", "no", "n", "off", "0", ""};
  const std::string lower = Lower(word);
  if (std::find(yes.begin(), yes.end(), lower) != yes.end()) return true;
  if (std::find(no.begin(), no.end(), lower) != no.end()) return false;
  return std::nullopt;
}

}  // namespace ckpt::contract
