#include "cli/differences.h"

#include <fmt/format.h>

namespace ckpt {
namespace {
constexpr size_t kMostDetails = 10;
}

tl::unexpected<Error> FailDifferences(std::string folder, std::vector<std::string> differences) {
  Error error{Code::kBadInput,
              fmt::format("the output is not what was written: {} differences", differences.size()),
              {},
              {{"folder", std::move(folder)}},
              "convert again with --overwrite"};
  if (differences.size() > kMostDetails) {
    differences.resize(kMostDetails);
    differences.emplace_back("...");
  }
  error.details = std::move(differences);
  return Fail(std::move(error));
}

}  // namespace ckpt
