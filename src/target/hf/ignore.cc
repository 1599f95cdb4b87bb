#include "target/hf/ignore.h"

#include <fmt/format.h>

#include "base/text.h"

namespace ckpt {
namespace {

constexpr std::string_view kExpression = "re:";

}  // namespace

Result<IgnoreList> IgnoreList::Parse(const std::vector<std::string>& entries) {
  IgnoreList list;
  for (const std::string& text : entries) {
    Entry entry{text, std::nullopt, false};
    if (text.starts_with(kExpression)) {
      try {
        entry.expression.emplace(text.substr(kExpression.size()));
      } catch (const std::regex_error& error) {
        return Fail(
            Code::kUsage,
            fmt::format("--ignore {} is no regular expression: {}", Printable(text), error.what()),
            "write re:.*lm_head, or the exact name of a module");
      }
    }
    list.entries_.push_back(std::move(entry));
  }
  return list;
}

bool IgnoreList::Has(const std::string& module) {
  bool has = false;
  for (Entry& entry : entries_) {
    const bool is_met = entry.expression ? std::regex_search(module, *entry.expression,
                                                             std::regex_constants::match_continuous)
                                         : entry.text == module;
    entry.is_used |= is_met;
    has |= is_met;
  }
  return has;
}

std::vector<std::string> IgnoreList::Unused() const {
  std::vector<std::string> unused;
  for (const Entry& entry : entries_) {
    if (!entry.is_used) unused.push_back(entry.text);
  }
  return unused;
}

}  // namespace ckpt
