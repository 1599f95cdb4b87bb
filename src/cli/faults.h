#pragma once

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/text.h"

namespace ckpt {

/// Collects what is wrong with the words, so that a user can mend it all at once.
class Faults {
 public:
  void Add(std::string what, const std::string& remedy) {
    texts_.push_back(std::move(what));
    if (!remedy.empty() && std::find(remedies_.begin(), remedies_.end(), remedy) == remedies_.end())
      remedies_.push_back(remedy);
  }
  template <class T>
  void Take(const Result<T>& result, std::string_view option) {
    Add(fmt::format("{}: {}", option, result.error().what), result.error().remedy);
  }
  /// All that an error of the same kind names.
  void AddAll(const Error& error) {
    if (error.details.empty()) {
      Add(error.what, error.remedy);
      return;
    }
    for (const std::string& text : error.details) Add(text, error.remedy);
  }
  Result<void> Get() const {
    if (texts_.empty()) return {};
    Error error{
        Code::kUsage,
        texts_.size() == 1 ? texts_[0] : fmt::format("{} arguments are wrong", texts_.size()),
        {},
        {},
        fmt::format("{}", fmt::join(remedies_, "; "))};
    if (texts_.size() > 1) error.details = texts_;
    return Fail(std::move(error));
  }

 private:
  std::vector<std::string> texts_;
  std::vector<std::string> remedies_;
};

/// "did you mean ...?", or all that is known.
inline std::string DidYouMean(std::string_view word, std::span<const std::string> known) {
  const std::string nearest = Nearest(word, known);
  const std::string all = fmt::format("one of {}", fmt::join(known, ", "));
  return nearest.empty() ? all : fmt::format("did you mean {}? ({})", nearest, all);
}

}  // namespace ckpt
