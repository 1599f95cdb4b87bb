#include "store/meta/checklist.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "store/store.h"

namespace ckpt {

Result<std::map<std::string, std::string>> ParseChecklist(std::string_view text) {
  constexpr size_t digits = 32;
  std::map<std::string, std::string> sums;
  for (const std::string& raw : Split(text, '\n')) {
    const std::string_view line = Trimmed(raw);
    if (line.empty()) continue;
    const std::string sum = Lower(line.substr(0, digits));
    const bool is_sum =
        sum.size() == digits && sum.find_first_not_of("0123456789abcdef") == std::string::npos;
    // Two blanks, or a blank and '*', as md5sum marks binary files.
    std::string_view name = is_sum ? Trimmed(line.substr(digits)) : std::string_view();
    if (name.starts_with('*')) name.remove_prefix(1);
    if (name.starts_with("./")) name.remove_prefix(2);
    if (name.empty())
      return Fail(Code::kBadInput, fmt::format("\"{}\" is no line of md5sum", Excerpt(line, 80)),
                  "not a checklist, or damaged: request a new link");
    CKPT_TRY_VOID(SafeName(name));
    sums.insert_or_assign(std::string(name), sum);
  }
  return sums;
}

}  // namespace ckpt
