#include <fmt/format.h>

#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "base/json_text.h"
#include "cli/verbs.h"
#include "model/family.h"
#include "model/model.h"

namespace ckpt {
namespace {

class FamiliesVerb final : public Verb {
 public:
  explicit FamiliesVerb(CLI::App& root)
      : Verb(root, "families", "List the model families, or prove a family table of your own") {
    options.Value("--check", "FILE", check_,
                  "prove this table: every layout a bijection, every round trip bit for bit");
    options.Values("--family", "FILE", files_, "a further table to list");
    options.Flag("--json", is_json_, "print one JSON object");
  }

  Result<void> Run() override {
    if (!check_.empty()) return Check();
    CKPT_TRY(const auto families, LoadFamilies(files_));
    nlohmann::ordered_json json = nlohmann::ordered_json::object();
    for (const auto& family : families) {
      if (is_json_) {
        json[family->name()] = {{"description", family->description()},
                                {"schemes", family->schemes()},
                                {"roles", family->rows().size()},
                                {"file", family->file()}};
      } else {
        fmt::print("{:<12}{}\n{:<12}schemes: {}\n", family->name(), family->description(), "",
                   fmt::join(family->schemes(), ", "));
      }
    }
    if (is_json_) fmt::print("{}\n", PrintJson(json));
    return {};
  }

 private:
  // LoadFamilies reads and parses; the table that is checked is the last one, or the one that it
  // overrides.
  Result<void> Check() {
    const std::vector<std::string> files = {check_};
    CKPT_TRY(const auto families, LoadFamilies(files));
    for (const auto& family : families) {
      if (family->file() != check_) continue;
      CKPT_TRY(const FamilyProof proof, CheckFamily(*family).map_error(Where("file", check_)));
      if (is_json_) {
        const nlohmann::ordered_json json = {{"family", family->name()},
                                             {"rows", proof.rows},
                                             {"schemes", proof.schemes},
                                             {"pairs", proof.pairs},
                                             {"models", proof.models},
                                             {"elements", proof.elements},
                                             {"unused_cells", proof.unused_cells}};
        fmt::print("{}\n", PrintJson(json));
      } else {
        fmt::print(
            "{}: {} rows in {} schemes; {} pairs of layouts on {} random models, {} elements, all "
            "back bit for bit\n",
            family->name(), proof.rows, proof.schemes, proof.pairs, proof.models, proof.elements);
        if (proof.unused_cells > 0) {
          fmt::print("not proved: {} cells whose condition (when) held in none of these models\n",
                     proof.unused_cells);
        }
      }
    }
    return {};
  }

  std::string check_;
  std::vector<std::string> files_;
  bool is_json_ = false;
};

}  // namespace

std::unique_ptr<Verb> AddFamilies(CLI::App& root) { return std::make_unique<FamiliesVerb>(root); }

}  // namespace ckpt
