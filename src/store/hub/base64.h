#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace ckpt {

/// RFC 4648, section 4, with padding.
std::string EncodeBase64Text(std::string_view bytes);
/// Nothing where it is not exactly that.
std::optional<std::string> DecodeBase64Text(std::string_view text);

}  // namespace ckpt
