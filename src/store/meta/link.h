#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/secret.h"
#include "store/http/url.h"

namespace ckpt {

/// Meta's signed download link: an address with a '*' that stands for FOLDER/FILE, and a CloudFront
/// signature in its query. All of it is secret but scheme, host and path.
class MetaLink {
 public:
  /// Takes away what mail programs and shells add: blanks and quotes around it, backslashes before
  /// '?', '=', '&' and '*'. kNoCredential for what is no such link; the text is not repeated.
  static Result<MetaLink> Parse(const Secret& text);

  /// The address of a file, such as "Meta-Llama-3-8B/params.json"; the query as it is.
  http::Url Of(std::string_view path) const;
  /// When the link ends, in seconds since 1970: what its policy says. Nothing where it has none
  /// that can be read.
  std::optional<int64_t> Expiry() const;
  /// kDenied where it has ended at `now` (seconds since 1970).
  Result<void> CheckAlive(int64_t now) const;
  /// Scheme, host and path.
  std::string Print() const { return url_.Print(); }
  std::string Origin() const { return url_.Origin(); }

 private:
  http::Url url_;
};

}  // namespace ckpt
