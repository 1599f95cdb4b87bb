#include "store/hf/digest.h"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <array>
#include <memory>

#include "base/check.h"
#include "base/message_digest.h"
#include "base/text.h"

namespace ckpt {

std::string GitBlobSha1(std::span<const std::byte> bytes) {
  const std::string head = fmt::format("blob {}", bytes.size());
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(),
                                                                        EVP_MD_CTX_free);
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  CKPT_CHECK(context != nullptr && EVP_DigestInit_ex(context.get(), EVP_sha1(), nullptr) == 1 &&
             EVP_DigestUpdate(context.get(), head.c_str(), head.size() + 1) == 1 &&
             EVP_DigestUpdate(context.get(), bytes.data(), bytes.size()) == 1 &&
             EVP_DigestFinal_ex(context.get(), digest.data(), &size) == 1);
  std::string hex;
  for (unsigned i = 0; i < size; ++i) hex += fmt::format("{:02x}", digest[i]);
  return hex;
}

Result<void> CheckDigest(const HfFile& file, std::span<const std::byte> bytes) {
  std::string actual;
  if (!file.sha256.empty()) {
    Sha256 sha256;
    sha256.Update(bytes);
    actual = sha256.Finish();
  } else if (!file.git_oid.empty()) {
    actual = GitBlobSha1(bytes);
  }
  if (actual == Lower(file.digest())) return {};
  return Fail(
      Code::kBadInput,
      fmt::format("the bytes have the digest {}, the Hub names {}", actual, Excerpt(file.digest())),
      "damaged on the way: run again; if it stays, check proxies");
}

std::string_view StandIn(std::string_view first_bytes) {
  if (first_bytes.starts_with("version https://git-lfs.github.com/spec/v1"))
    return "a git-lfs pointer";
  if (Lower(first_bytes.substr(0, 9)) == "<!doctype") return "a page for browsers";
  return "";
}

}  // namespace ckpt
