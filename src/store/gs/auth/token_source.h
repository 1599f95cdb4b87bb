#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "base/environment.h"
#include "base/result.h"
#include "base/secret.h"
#include "store/http/http.h"

namespace ckpt::gs {

using Clock = std::function<std::chrono::system_clock::time_point()>;

/// An access token. Good until `expires`.
struct Token {
  Secret value;
  std::chrono::system_clock::time_point expires;
};

/// Where tokens of one kind of credential come from. Called by one thread at a time; may wait.
class TokenSource {
 public:
  virtual ~TokenSource() = default;
  virtual Result<Token> Fetch() = 0;
  /// False: Fetch() gives the same token for ever.
  virtual bool can_renew() const { return true; }
  /// E-mail address, or "". Thread-safe beside Fetch().
  virtual std::string principal() { return ""; }
};

/// What sources need of their surroundings.
struct TokenContext {
  std::shared_ptr<http::Engine> engine;
  Environment environment;
  Clock clock;
};

/// May secrets go there? https, or what the user configured. kDenied else; `what` is the field that
/// names the address.
Result<http::Url> ParseTokenUrl(const TokenContext& context, const std::string& what,
                                const std::string& text);
/// The same, of addresses inside files that may come from others: also a host of googleapis.com.
Result<http::Url> ParseGoogleUrl(const TokenContext& context, const std::string& what,
                                 const std::string& text);

}  // namespace ckpt::gs
