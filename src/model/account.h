#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"

namespace ckpt {

/// Everything on which a source and its family disagree, said in as few lines as it takes: what is
/// wrong in the same way in many layers is one line.
class Account {
 public:
  /// `name` of layer `layer` (written as `pattern` with {l}) is wrong in the way that `what` says.
  void Add(const std::string& name, const std::string& pattern, std::optional<uint64_t> layer,
           const std::string& what);
  /// A line by itself, before all others.
  void AddSummary(std::string line) { summary_.push_back(std::move(line)); }

  bool empty() const { return summary_.empty() && groups_.empty(); }
  /// At most 20 lines, then "and N more".
  std::vector<std::string> Lines() const;

 private:
  struct Group {
    std::string pattern;
    std::string what;
    std::string first_name;
    std::set<uint64_t> layers;
  };
  std::vector<std::string> summary_;
  std::vector<Group> groups_;
  std::map<std::pair<std::string, std::string>, size_t> index_;  // (pattern, what) -> group
};

/// "0 to 2, 5".
std::string LayerRanges(const std::set<uint64_t>& layers);

}  // namespace ckpt
