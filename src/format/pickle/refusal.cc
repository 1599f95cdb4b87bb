#include "format/pickle/refusal.h"

#include <fmt/format.h>

#include <array>

#include "base/text.h"

namespace ckpt::pickle {
namespace {

constexpr std::string_view kLoadAndSave =
    "if you trust it, load it in Python and save it as safetensors";

struct Hint {
  std::string_view module;
  bool is_prefix;
  std::string_view words;
};
// By module, first match.
constexpr std::array kHints = {
    Hint{"numpy", true, "it holds numpy values, typical of training checkpoints"},
    Hint{"argparse", false, "it holds training arguments"},
    Hint{"omegaconf", true, "it holds training arguments"},
    Hint{"torch.distributed", true, "a distributed checkpoint: gather it to one state dict first"},
    Hint{"__main__", false, "a whole module was pickled: save model.state_dict()"},
    Hint{"torch.nn.modules", true, "a whole module was pickled: save model.state_dict()"},
    Hint{"model", true, "a whole module was pickled: save model.state_dict()"},
    Hint{"transformers", true, "objects of a training run were pickled: save model.state_dict()"},
};
// Modules that nobody's model lives in: whoever names them wants to run something.
constexpr std::array<std::string_view, 15> kDangerous = {
    "os",        "posix", "nt",     "subprocess", "sys", "builtins",   "__builtin__", "operator",
    "importlib", "runpy", "socket", "shutil",     "pip", "webbrowser", "ctypes"};

std::string_view HintFor(std::string_view module) {
  const auto is_below = [&](std::string_view root) {
    return module == root || (module.starts_with(root) && module[root.size()] == '.');
  };
  for (const std::string_view dangerous : kDangerous) {
    if (is_below(dangerous)) return "a call of it could run commands on the machine that loads it";
  }
  for (const Hint& hint : kHints) {
    if (hint.is_prefix ? is_below(hint.module) : module == hint.module) return hint.words;
  }
  return {};
}

}  // namespace

tl::unexpected<Error> Damaged(uint64_t byte, std::string what, std::string_view remedy) {
  return Fail({Code::kBadInput,
               std::move(what),
               {},
               {{"byte", std::to_string(byte)}},
               std::string(remedy)});
}

tl::unexpected<Error> NotPlain(uint64_t byte, std::string what) {
  return Damaged(byte, std::move(what),
                 "the file is damaged or no plain state dict; " + std::string(kLoadAndSave));
}

tl::unexpected<Error> RefuseGlobal(uint64_t byte, std::string_view pickle_name,
                                   std::string_view module, std::string_view name) {
  std::string what =
      fmt::format("refusing PICKLE global {}.{} at byte {} of {}: not part of a plain state dict",
                  Excerpt(module), Excerpt(name), byte, pickle_name);
  if (const std::string_view hint = HintFor(module); !hint.empty())
    what += fmt::format(" ({})", hint);
  return Damaged(byte, std::move(what), "the file may be malicious; " + std::string(kLoadAndSave));
}

}  // namespace ckpt::pickle
