#include "store/gs/auth/jwt.h"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include <climits>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/base64.h"
#include "base/json_text.h"

namespace ckpt::gs {
namespace {

constexpr int64_t kLifeSeconds = 3600;

template <auto Free>
struct FreeBy {
  template <class T>
  void operator()(T* object) const {
    Free(object);
  }
};
using Bio = std::unique_ptr<BIO, FreeBy<BIO_free>>;
using Key = std::unique_ptr<EVP_PKEY, FreeBy<EVP_PKEY_free>>;
using Digest = std::unique_ptr<EVP_MD_CTX, FreeBy<EVP_MD_CTX_free>>;

// Never asks a terminal for a passphrase.
int NoPassphrase(char* /*into*/, int /*size*/, int /*is_writing*/, void* /*user*/) { return 0; }

Key ReadKey(const Secret& pem) {
  const std::string& text = pem.Reveal();
  if (text.size() > INT_MAX) return nullptr;
  const Bio bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
  if (!bio) return nullptr;
  return Key(PEM_read_bio_PrivateKey(bio.get(), nullptr, NoPassphrase, nullptr));
}

}  // namespace

std::string PrintJwt(const JwtClaims& claims) {
  const int64_t issued =
      std::chrono::duration_cast<std::chrono::seconds>(claims.issued.time_since_epoch()).count();
  nlohmann::ordered_json header = {{"alg", "RS256"}, {"typ", "JWT"}};
  if (!claims.key_id.empty()) header["kid"] = claims.key_id;
  const nlohmann::ordered_json body = {{"iss", claims.issuer},
                                       {"scope", claims.scope},
                                       {"aud", claims.audience},
                                       {"iat", issued},
                                       {"exp", issued + kLifeSeconds}};
  return EncodeBase64Url(PrintJsonLine(header)) + "." + EncodeBase64Url(PrintJsonLine(body));
}

Result<Secret> SignJwt(const JwtClaims& claims, const Secret& private_key) {
  const Key key = ReadKey(private_key);
  if (!key || EVP_PKEY_get_base_id(key.get()) != EVP_PKEY_RSA)
    return Fail(Code::kNoCredential, "\"private_key\" is no RSA key",
                "make a new key of the service account");
  const std::string text = PrintJwt(claims);
  const auto* bytes = reinterpret_cast<const unsigned char*>(text.data());
  const Digest digest(EVP_MD_CTX_new());
  size_t size = 0;
  std::string signature;
  const bool is_signed =
      digest && EVP_DigestSignInit(digest.get(), nullptr, EVP_sha256(), nullptr, key.get()) == 1 &&
      EVP_DigestSign(digest.get(), nullptr, &size, bytes, text.size()) == 1 &&
      (signature.resize(size),
       EVP_DigestSign(digest.get(), reinterpret_cast<unsigned char*>(signature.data()), &size,
                      bytes, text.size()) == 1);
  if (!is_signed)
    return Fail(Code::kNoCredential, "nothing can be signed with \"private_key\"",
                "make a new key of the service account");
  signature.resize(size);
  return Secret(text + "." + EncodeBase64Url(signature));
}

}  // namespace ckpt::gs
