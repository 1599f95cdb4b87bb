#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace ckpt {

/// A model version of Kaggle: google/gemma/maxText/7b-it/2.
struct KaggleHandle {
  std::string owner;
  std::string model;
  std::string framework;  ///< as Kaggle spells it where it is known (maxText), else as given
  std::string variation;
  unsigned version = 0;  ///< 0: the newest

  /// With or without "kaggle://"; 4 or 5 parts, the framework in any case. kUsage.
  static Result<KaggleHandle> Parse(std::string_view text);
  /// "owner/model/framework/variation", and "/version" where there is one.
  std::string Print() const;
  /// The page where the licence is accepted.
  std::string Page() const;
};

/// The framework's word in the remote procedures: "MODEL_FRAMEWORK_MAX_TEXT" of "maxText".
std::string FrameworkEnum(std::string_view framework);

}  // namespace ckpt
