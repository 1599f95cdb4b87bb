#pragma once

#include <map>
#include <string>
#include <string_view>

#include "base/result.h"

namespace ckpt {

/// The lines of a checklist.chk, as md5sum prints them: file name -> 32 hexadecimal digits.
/// kBadInput for other lines and unsafe names. Pure.
Result<std::map<std::string, std::string>> ParseChecklist(std::string_view text);

}  // namespace ckpt
