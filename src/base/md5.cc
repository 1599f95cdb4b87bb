#include "base/md5.h"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <array>

#include "base/check.h"

namespace ckpt {

std::string Md5Hex(std::string_view text) {
  std::array<unsigned char, 16> digest{};
  unsigned int size = 0;
  CKPT_CHECK(EVP_Digest(text.data(), text.size(), digest.data(), &size, EVP_md5(), nullptr) == 1 &&
             size == digest.size());
  std::string hex;
  for (const unsigned char byte : digest) hex += fmt::format("{:02x}", byte);
  return hex;
}

}  // namespace ckpt
