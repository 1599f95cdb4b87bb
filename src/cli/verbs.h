#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "cli/options.h"

namespace ckpt {

/// One verb of the program: its options, and what it does. One file each.
class Verb {
 public:
  virtual ~Verb() = default;
  virtual Result<void> Run() = 0;
  /// The exit status of the program after Run() has succeeded.
  virtual int status() const { return 0; }

  Options options;

 protected:
  Verb(CLI::App& root, const std::string& name, const std::string& help)
      : options(root, name, help) {}
};

std::unique_ptr<Verb> AddConvert(CLI::App& root);
std::unique_ptr<Verb> AddPlan(CLI::App& root);
std::unique_ptr<Verb> AddInspect(CLI::App& root);
std::unique_ptr<Verb> AddVerify(CLI::App& root);
std::unique_ptr<Verb> AddDiff(CLI::App& root);
std::unique_ptr<Verb> AddStatus(CLI::App& root);
std::unique_ptr<Verb> AddClean(CLI::App& root);
std::unique_ptr<Verb> AddFamilies(CLI::App& root);
std::unique_ptr<Verb> AddManifest(CLI::App& root);

}  // namespace ckpt
