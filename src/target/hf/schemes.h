#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "plan/target.h"

namespace ckpt {

/// A way to quantize without calibration, as compressed-tensors stores it. The arguments are JSON
/// texts in the short form that every release of its loaders takes:
/// docs/formats/compressed-tensors.md.
struct CtScheme {
  std::string_view word;         ///< of --quantize
  std::string_view alias;        ///< llm-compressor's own
  std::string_view format;       ///< "pack-quantized"
  GroupForm group;               ///< of the weights
  std::string_view weights;      ///< "weights" of the configuration
  std::string_view activations;  ///< "input_activations": "null", or how servers quantize them
  std::span<const std::string_view> notes;  ///< which servers cannot load it, and where it is slow
  std::string_view experts_note = {};       ///< likewise, of models with experts alone
};

/// All words and aliases.
std::span<const std::string> CtWords();
/// By word or alias; null for another.
const CtScheme* FindCtScheme(std::string_view word);

/// config.json with what a loader must know of the quantization in place of any that it had.
/// `ignored`: modules that stayed as they were, in the model's order. Errors: kBadInput for no JSON
/// object.
Result<std::string> WithQuantization(const std::string& config, const CtScheme& scheme,
                                     std::span<const std::string> ignored);
/// config.json without one, if it had one.
Result<std::string> WithoutQuantization(const std::string& config);

}  // namespace ckpt
