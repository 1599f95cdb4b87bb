#include <fmt/format.h>

#include <algorithm>

#include "cli/entrypoint/interpreter.h"
#include "cli/entrypoint/places.h"
#include "model/family.h"
#include "model/model.h"

namespace ckpt::contract {

void Interpreter::SettlePytorch() {
  SettlePytorchFamily();
  const std::vector<std::string> parts = Parts(path_);
  bool has_params = true;
  if (is_huggingface_ && (IsRepository(parts) && !path_.starts_with('/'))) {
    TakeSource(Source{Source::Kind::kHuggingface, path_, ""});
    // Repositories in Hugging Face's own form of Llama have no params.json.
    const bool is_meta_form = name_ == "llama-2" && path_.find("hf") == std::string::npos;
    has_params = contract_.family != "llama" || is_meta_form;
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

void Interpreter::SettlePytorchFamily() {
  contract_.model_name = name_.empty() ? "llama" : name_;
  contract_.family = "llama";
  if (name_.empty()) {
    if (Lower(path_).find("gemma") != std::string::npos)
      Warn("without --model_name the model is taken for a Llama");
    return;
  }
  if (const NamedModel* named = FindNamedModel(name_); named != nullptr) {
    contract_.family = named->family;
    return;
  }
  // Families that came later go by their own names.
  const auto families = LoadFamilies({});
  const bool is_family =
      families && std::any_of(families->begin(), families->end(), [&](const auto& family) {
        return family->name() == name_ && family->HasScheme(kPytorchServer);
      });
  if (is_family) {
    contract_.family = name_;
  } else {
    UnknownName();
  }
}

}  // namespace ckpt::contract
