#pragma once

#include <gtest/gtest.h>

#include <initializer_list>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/entrypoint/contract.h"

namespace ckpt::contract {

using Strings = std::vector<std::string>;
using Variables = std::map<std::string, std::string>;

/// An environment of these variables and no others.
inline Environment EnvironmentOf(Variables variables = {}) {
  return [variables = std::move(variables)](const char* name) -> std::optional<std::string> {
    const auto found = variables.find(name);
    if (found == variables.end()) return std::nullopt;
    return found->second;
  };
}

/// All that the faults say, as a user sees it; "" where there are none.
inline std::string TextOf(const Faults& faults) {
  const Result<void> result = faults.Get();
  return result ? std::string() : result.error().Print();
}

/// How many faults there are.
inline size_t CountOf(const Faults& faults) {
  const Result<void> result = faults.Get();
  if (result) return 0;
  return result.error().details.empty() ? 1 : result.error().details.size();
}

/// What was read of an argument list.
struct Reading {
  Words words;
  Contract contract;
  std::string faults;  ///< "" for none
  size_t fault_count = 0;
};

inline Reading Read(const Strings& arguments, const Variables& variables = {}) {
  Reading reading;
  Faults faults;
  reading.words = ParseWords(arguments, faults);
  reading.contract = Interpret(reading.words, EnvironmentOf(variables), faults);
  reading.faults = TextOf(faults);
  reading.fault_count = CountOf(faults);
  return reading;
}

/// What users wait for, output by output.
inline Strings FinalLines(const Contract& contract) {
  Strings lines;
  for (const Output& output : contract.outputs) {
    if (!output.final_line.empty()) lines.push_back(output.final_line);
  }
  return lines;
}

/// The list with more words behind it: the last of a repeated flag counts.
inline Strings With(Strings arguments, const Strings& more) {
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

/// The list without the words that begin so.
inline Strings Without(Strings arguments, std::string_view start) {
  std::erase_if(arguments, [&](const std::string& word) { return word.starts_with(start); });
  return arguments;
}

inline std::string Joined(const Strings& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : " ") + word;
  return text;
}

}  // namespace ckpt::contract
