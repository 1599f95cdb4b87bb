#include <fmt/format.h>

#include "cli/entrypoint/interpreter.h"

namespace ckpt::contract {

// Lines that users and scripts look for, word for word those of d645ad54.
void Interpreter::Say() {
  const bool is_maxtext = contract_.server == Server::kMaxText;
  const auto open = [&](std::string_view key, Flag flag) {
    contract_.opening_lines.push_back(fmt::format("{}={}", key, Redacted(words_.Get(flag))));
  };
  contract_.opening_lines.push_back(
      fmt::format("Inference server is {}", is_maxtext ? kMaxTextServer : kPytorchServer));
  open("Bucket name", Flag::kBucketName);
  open("Model path", Flag::kModelPath);
  open("Model name", Flag::kModelName);
  open("Version", Flag::kVersion);
  open("Output ckpt dir", Flag::kOutputDirectory);
  open("Huggingface", Flag::kHuggingface);
  if (!contract_.model.empty())
    contract_.opening_lines.push_back(
        fmt::format("Model size for {} is {}", Redacted(path_), contract_.model));
  contract_.opening_lines.push_back(
      fmt::format("Quantize weights: {}", is_quantizing_ ? "True" : "False"));

  const bool is_from_kaggle = family_ != nullptr && family_->rules->is_from_kaggle;
  for (Output& output : contract_.outputs) {
    if (output.role == "unscanned") {
      if (is_from_kaggle)
        output.line_before =
            fmt::format("Successfully generated decode checkpoint at: {}", output.path);
      output.final_line = fmt::format("Completed unscanning checkpoint to {}", output.path);
    } else if (output.role == "quantized") {
      output.final_line =
          fmt::format("Completed quantizing model {} with {} to {}",
                      contract_.model.empty() ? contract_.model_name : contract_.model,
                      contract_.quantize, output.path);
    } else if (output.role == "weights") {
      output.final_line = fmt::format(
          "Completed uploading converted checkpoint from local path /pt-ckpt/ to GSBucket {}",
          output_);
    }
  }
}

}  // namespace ckpt::contract
