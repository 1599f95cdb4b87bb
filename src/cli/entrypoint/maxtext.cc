#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/text.h"
#include "cli/entrypoint/interpreter.h"
#include "cli/entrypoint/places.h"

namespace ckpt::contract {
namespace {

std::string LastPart(std::string_view path) { return Split(Collapsed(path), '/').back(); }

}  // namespace

void Interpreter::SettleMaxText() {
  const NamedModel* named = FindNamedModel(name_);
  const KnownFamily* family = FamilyOfPath(path_);
  if (family == nullptr && named != nullptr) family = named->family;
  if (family == nullptr) {
    std::vector<std::string> words;
    for (const KnownFamily& known : KnownFamilies()) words.push_back(known.word);
    faults_.Add(fmt::format("--model_path {} tells no family that {} serves", Redacted(path_),
                            kMaxTextServer),
                fmt::format("name a path with {} in it, or --model_name: one of {}",
                            fmt::join(words, " or "), fmt::join(ModelNames(), ", ")));
    if (!name_.empty()) UnknownName();
    return;
  }
  family_ = family;
  contract_.family = family->name;
  if (family->rules->is_from_kaggle) {
    SettleOfKaggle(*family, named);
  } else {
    SettleOfMeta(*family, named);
  }
}

void Interpreter::SettleOfMeta(const KnownFamily& family, const NamedModel* named) {
  const NamedModel* told = GenerationOf(path_);
  if (name_.empty()) {
    named = told;
    if (named != nullptr) {
      contract_.notices.push_back(
          fmt::format("Model name {} is taken from the model path", named->name));
    } else {
      faults_.Add(fmt::format("--model_name is missing, and {} does not tell it", Redacted(path_)),
                  fmt::format("give --model_name: one of {}", fmt::join(ModelNames(), ", ")));
    }
  } else if (named == nullptr || named->family != &family) {
    UnknownName();
    named = nullptr;
  } else if (told != nullptr && told != named) {
    Warn(fmt::format("the model path {} names {}, --model_name {}: the name counts",
                     Redacted(path_), told->name, name_));
  }
  SettleSourceOfMeta();
  if (output_.empty()) NoOutput();
  if (named == nullptr) return;
  contract_.model_name = named->name;
  contract_.model = MaxTextName(*named, path_);
  if (contract_.model.empty())
    contract_.model = MaxTextName(*named, LastPart(input_.empty() ? path_ : input_));
  if (contract_.model.empty() && !IsDirectoryOnly())
    faults_.Add(fmt::format("the model path {} tells no size of {}", Redacted(path_), named->name),
                fmt::format("the path must hold one of {}", fmt::join(named->sizes, ", ")));
  PlaceBelowOutput();
}

bool Interpreter::IsDirectoryOnly() const {
  return has_source_ && contract_.source.kind == Source::Kind::kDirectory && !contract_.otherwise;
}

void Interpreter::SettleSourceOfMeta() {
  std::optional<Source> source;
  const std::vector<std::string> parts = Split(path_, '/');
  if (IsDirectoryPath(path_)) {
    source = Directory(path_, "");
    if (is_huggingface_) Warn("--huggingface has no effect: the model path is a directory");
  } else if (is_huggingface_ && IsRepository(parts)) {
    source = Source{Source::Kind::kHuggingface, path_, ""};
    if (HasMetaUrl()) Warn("Meta's URL has no effect: the model path is a Hugging Face repository");
  } else if (path_.find('/') != std::string::npos && !IsRepository(parts)) {
    faults_.Add(fmt::format("--model_path {} is neither a Meta model id, nor a Hugging Face "
                            "repository, nor a directory",
                            Redacted(path_)),
                "give ORGANISATION/NAME with --huggingface=True, a model id with Meta's URL, or an "
                "absolute path");
  } else if (HasMetaUrl()) {
    source = Source{Source::Kind::kMeta, path_, ""};
    if (is_huggingface_)
      Warn(fmt::format("{} is no Hugging Face repository: Meta's URL is used", Redacted(path_)));
  } else if (is_huggingface_) {
    NoRepository();
  } else if (input_.empty()) {
    faults_.Add(
        fmt::format("--meta_url is missing: META_URL is empty, please provide the Meta url by "
                    "visiting {}",
                    kMetaPage),
        fmt::format("give --meta_url (better: the variable META_URL, or --meta_url_file){}, or "
                    "--input_directory=DIRECTORY",
                    IsRepository(parts) ? ", or --huggingface=True for the repository" : ""));
  }
  TakeSource(std::move(source));
}

void Interpreter::PlaceBelowOutput() {
  const std::string folder = Collapsed(output_);
  contract_.folder = folder;
  Add("scanned", folder + "/bf16/scanned/0/items");
  Add("unscanned", folder + "/bf16/unscanned/checkpoints/0/items");
  quantized_below_ = folder + "/";
}

void Interpreter::SettleOfKaggle(const KnownFamily& family, const NamedModel* named) {
  const std::string& title = family.rules->title;
  if (!name_.empty() && (named == nullptr || named->family != &family))
    Warn(fmt::format("--model_name {} has no effect: the model path names a {}", Redacted(name_),
                     title));
  contract_.model_name = family.name;
  const std::vector<std::string> parts = Split(path_, '/');
  std::string place;
  const bool is_directory = IsDirectoryPath(path_);
  const bool is_kaggle = !is_directory && IsKaggleHandle(parts);
  if (is_directory) {
    TakeSource(Directory(path_, ""));
    place = LastPart(path_);
    contract_.model = NameByWord(family, place);
  } else if (is_kaggle) {
    if (is_huggingface_)
      Warn(fmt::format("--huggingface has no effect: {} is a Kaggle handle", Redacted(path_)));
    place = parts[1] + "_" + parts[3];
    contract_.model = NameByWord(family, parts[1] + "-" + parts[3]);
    TakeSource(Source{Source::Kind::kKaggle, path_, ""});
    if (parts.size() == 4)
      contract_.notices.emplace_back("no version in the Kaggle handle: the latest is taken");
  } else if (IsRepository(parts)) {
    if (!is_huggingface_)
      Warn(fmt::format("{} is taken for a Hugging Face repository: a Kaggle handle has five parts",
                       Redacted(path_)));
    place = parts[1];
    contract_.model = NameByWord(family, place);
    TakeSource(Source{Source::Kind::kHuggingface, path_, ""});
  } else {
    faults_.Add(
        fmt::format("--model_path {} is neither a Kaggle handle nor a Hugging Face repository",
                    Redacted(path_)),
        "a handle is OWNER/MODEL/FRAMEWORK/VARIATION/VERSION, a repository ORGANISATION/NAME");
    return;
  }
  if (contract_.model.empty() && !IsDirectoryOnly())
    faults_.Add(fmt::format("the model path {} tells no size of {}", Redacted(path_), title),
                "the variation must begin with a size, such as 2b or 7b-it");
  PlaceBelowBucket(place, title, is_kaggle);
}

void Interpreter::PlaceBelowBucket(const std::string& place, const std::string& title,
                                   bool is_kaggle) {
  if (!is_kaggle && !output_.empty()) {
    PlaceBelowOutput();
    return;
  }
  const std::string bucket = "gs://" + contract_.bucket;
  if (!output_.empty())
    Warn(fmt::format(
        "--output_directory has no effect for a {} from Kaggle: outputs lie in {}/final", title,
        bucket));
  contract_.folder = bucket + "/final";
  contract_.state_name = place;
  if (is_kaggle) contract_.base_copy = bucket + "/base/" + place;
  Add("scanned", fmt::format("{}/final/scanned/{}/0/items", bucket, place));
  Add("unscanned", fmt::format("{}/final/unscanned/{}/0/checkpoints/0/items", bucket, place));
  quantized_below_ = bucket + "/final/";
  quantized_behind_ = "/" + place;
}

}  // namespace ckpt::contract
