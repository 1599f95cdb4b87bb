#include "store/kaggle/handle.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <vector>

#include "base/text.h"

namespace ckpt {
namespace {

constexpr std::string_view kForm =
    "write kaggle://owner/model/framework/variation/version, such as "
    "google/gemma/maxtext/7b-it/2";

struct Framework {
  std::string_view word;
  std::string_view constant;
};
// Origin: Kaggle/kagglesdk, kagglesdk/models/types/model_enums.py.
constexpr std::array kFrameworks = {
    Framework{"tensorFlow1", "TENSOR_FLOW_1"},
    Framework{"tensorFlow2", "TENSOR_FLOW_2"},
    Framework{"tfLite", "TF_LITE"},
    Framework{"tfJs", "TF_JS"},
    Framework{"pyTorch", "PY_TORCH"},
    Framework{"jax", "JAX"},
    Framework{"flax", "FLAX"},
    Framework{"pax", "PAX"},
    Framework{"maxText", "MAX_TEXT"},
    Framework{"gemmaCpp", "GEMMA_CPP"},
    Framework{"ggml", "GGML"},
    Framework{"gguf", "GGUF"},
    Framework{"coral", "CORAL"},
    Framework{"scikitLearn", "SCIKIT_LEARN"},
    Framework{"mxnet", "MXNET"},
    Framework{"onnx", "ONNX"},
    Framework{"keras", "KERAS"},
    Framework{"transformers", "TRANSFORMERS"},
    Framework{"triton", "TRITON"},
    Framework{"api", "API"},
    Framework{"other", "OTHER"},
};

const Framework* FindFramework(std::string_view word) {
  const auto* found = std::find_if(
      kFrameworks.begin(), kFrameworks.end(),
      [&](const Framework& framework) { return Lower(framework.word) == Lower(word); });
  return found == kFrameworks.end() ? nullptr : found;
}

bool IsSlug(std::string_view part) {
  return !part.empty() && part.size() <= 255 && part != "." && part != ".." &&
         std::all_of(part.begin(), part.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '.' || c == '_' || c == '-';
         });
}

}  // namespace

Result<KaggleHandle> KaggleHandle::Parse(std::string_view text) {
  constexpr std::string_view scheme = "kaggle://";
  std::string_view rest = text;
  if (rest.starts_with(scheme)) rest.remove_prefix(scheme.size());
  while (rest.ends_with('/')) rest.remove_suffix(1);
  const std::vector<std::string> parts = Split(rest, '/');
  if (parts.size() < 4 || parts.size() > 5)
    return Fail(
        Code::kUsage,
        fmt::format("\"{}\" has {} parts, a Kaggle handle 4 or 5", Excerpt(text), parts.size()),
        std::string(kForm));
  for (const std::string& part : parts) {
    if (!IsSlug(part))
      return Fail(Code::kUsage,
                  fmt::format(R"("{}" is no Kaggle handle: the part "{}" is no name)",
                              Excerpt(text), Excerpt(part)),
                  std::string(kForm));
  }
  KaggleHandle handle{parts[0], parts[1], parts[2], parts[3], 0};
  if (const Framework* known = FindFramework(parts[2])) handle.framework = known->word;
  if (parts.size() == 5) {
    const std::string& version = parts[4];
    const auto read =
        std::from_chars(version.data(), version.data() + version.size(), handle.version);
    if (read.ec != std::errc() || read.ptr != version.data() + version.size() ||
        handle.version == 0)
      return Fail(Code::kUsage,
                  fmt::format("\"{}\" is no version of a Kaggle model", Excerpt(version)),
                  std::string(kForm));
  }
  return handle;
}

std::string KaggleHandle::Print() const {
  const std::string text = fmt::format("{}/{}/{}/{}", owner, model, framework, variation);
  return version == 0 ? text : fmt::format("{}/{}", text, version);
}

std::string KaggleHandle::Page() const {
  return fmt::format("https://www.kaggle.com/models/{}/{}", owner, model);
}

std::string FrameworkEnum(std::string_view framework) {
  const Framework* known = FindFramework(framework);
  if (known != nullptr) return fmt::format("MODEL_FRAMEWORK_{}", known->constant);
  // The clients put a '_' before each capital; a framework that is newer than this table may pass.
  std::string constant = "MODEL_FRAMEWORK_";
  for (const char c : framework) {
    if (c >= 'A' && c <= 'Z') constant += '_';
    constant += c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  }
  return constant;
}

}  // namespace ckpt
