#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"

namespace CLI {  // NOLINT(readability-identifier-naming): the library's own
class App;
}

namespace ckpt {

/// One verb of the program: its options on a subcommand, and what it does. One file each.
class Verb {
 public:
  virtual ~Verb() = default;
  virtual Result<void> Run() = 0;
  CLI::App* app = nullptr;  ///< the subcommand, owned by the application
};

std::unique_ptr<Verb> AddConvert(CLI::App& root);
std::unique_ptr<Verb> AddPlan(CLI::App& root);
std::unique_ptr<Verb> AddInspect(CLI::App& root);
std::unique_ptr<Verb> AddVerify(CLI::App& root);
std::unique_ptr<Verb> AddFamilies(CLI::App& root);
std::unique_ptr<Verb> AddManifest(CLI::App& root);

}  // namespace ckpt
