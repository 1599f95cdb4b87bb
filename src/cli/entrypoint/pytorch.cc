#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"
#include "base/text.h"
#include "cli/entrypoint/interpreter.h"
#include "cli/entrypoint/places.h"
#include "model/model.h"

namespace ckpt::contract {

// Whether the repository of a named model holds Meta's own files.
bool Interpreter::IsInMetaForm() const {
  const NamedModel* named = FindNamedModel(name_);
  return named != nullptr && !named->meta_unless.empty() &&
         path_.find(named->meta_unless) == std::string::npos;
}

void Interpreter::SettlePytorch() {
  const KnownFamily* family = SettlePytorchFamily();
  const std::vector<std::string> parts = Split(path_, '/');
  bool has_params = true;
  if (is_huggingface_ && (IsRepository(parts) && !path_.starts_with('/'))) {
    TakeSource(Source{Source::Kind::kHuggingface, path_, ""});
    has_params = family == nullptr || family->rules->has_params || IsInMetaForm();
  } else if (!input_.empty()) {
    if (is_huggingface_) Warn("--huggingface has no effect: the input directory is read");
    contract_.source = Directory(input_, path_);
  } else if (is_huggingface_) {
    NoRepository();
  } else {
    faults_.Add("--input_directory is missing: where is the model?",
                IsRepository(parts) && !path_.starts_with('/')
                    ? "give --huggingface=True for the repository, or --input_directory=DIRECTORY"
                    : fmt::format("give --input_directory={}",
                                  path_.starts_with('/') ? Redacted(path_) : "DIRECTORY"));
  }
  if (output_.empty()) {
    NoOutput();
    return;
  }
  const std::string folder = Collapsed(output_);
  contract_.folder = folder;
  Add("weights", folder + "/model.safetensors");
  if (has_params) Add("params", folder + "/params.json");
  Add("tokenizer", folder + "/tokenizer.model");
}

const KnownFamily* Interpreter::SettlePytorchFamily() {
  if (const NamedModel* named = FindNamedModel(name_); named != nullptr) {
    contract_.model_name = named->name;
    contract_.family = named->family->name;
    return named->family;
  }
  if (!name_.empty()) {
    // Families that came later go by their own names.
    const auto families = LoadFamilies({});
    const bool is_family =
        families && std::any_of(families->begin(), families->end(), [&](const auto& family) {
          return family->name() == name_ && family->HasScheme(kPytorchServer);
        });
    if (!is_family) UnknownName();
    contract_.model_name = name_;
    contract_.family = name_;
    return nullptr;
  }
  const auto known = KnownFamilies();
  const auto assumed = std::find_if(known.begin(), known.end(), [](const KnownFamily& family) {
    return family.rules->is_assumed;
  });
  CKPT_CHECK(assumed != known.end());
  contract_.model_name = assumed->name;
  contract_.family = assumed->name;
  if (const KnownFamily* told = FamilyOfPath(path_); told != nullptr && told != &*assumed)
    Warn(fmt::format("without --model_name the model is taken for a {}", assumed->rules->title));
  return &*assumed;
}

}  // namespace ckpt::contract
