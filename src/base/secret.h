#pragma once

#include <fmt/core.h>

#include <string>
#include <string_view>
#include <utility>

namespace ckpt {

/// A token, key or signed URL. Has no conversion and no `<<`; formatting prints "[secret]". Review
/// by grepping Reveal.
class Secret {
 public:
  Secret() = default;
  explicit Secret(std::string value) : value_(std::move(value)) {}
  const std::string& Reveal() const { return value_; }
  bool empty() const { return value_.empty(); }

 private:
  std::string value_;
};

}  // namespace ckpt

template <>
struct fmt::formatter<ckpt::Secret> : fmt::formatter<std::string_view> {
  template <class Context>
  auto format(const ckpt::Secret&, Context& context) const {
    return fmt::formatter<std::string_view>::format("[secret]", context);
  }
};
