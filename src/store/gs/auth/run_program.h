#pragma once

#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/secret.h"

namespace ckpt::gs {

/// A program that prints a credential. No shell sees its words.
struct Program {
  std::vector<std::string> words;
  std::vector<std::pair<std::string, std::string>> variables;  ///< added to the environment
  std::chrono::milliseconds timeout{30'000};
};

/// What it writes to its standard output. kNoCredential where it cannot be run, fails, writes more
/// than 1 MiB or takes longer than its time; it is killed then.
Result<Secret> RunProgram(const Program& program);

}  // namespace ckpt::gs
