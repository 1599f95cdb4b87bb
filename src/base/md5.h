#pragma once

#include <string>
#include <string_view>

namespace ckpt {

/// 32 hexadecimal digits. For lists of others' that know no better sum.
std::string Md5Hex(std::string_view text);

}  // namespace ckpt
