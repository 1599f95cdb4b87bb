#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace ckpt {

/// RFC 4648, section 4, with padding: what checksums of stores are printed in.
std::string EncodeBase64(std::span<const std::byte> bytes);
std::string EncodeBase64(std::string_view bytes);
/// Section 5, the alphabet of URLs, without padding: the parts of a JSON Web Token.
std::string EncodeBase64Url(std::string_view bytes);
/// Section 4. Nothing where it is not exactly that.
std::optional<std::string> DecodeBase64(std::string_view text);

}  // namespace ckpt
