#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/json_text.h"
#include "base/text.h"
#include "cli/arguments.h"
#include "cli/plan_view.h"
#include "cli/state_place.h"
#include "cli/state_view.h"
#include "cli/verbs.h"

namespace ckpt {
namespace {

class StatusVerb final : public Verb {
 public:
  explicit StatusVerb(CLI::App& root)
      : Verb(root, "status",
             "Show how far a conversion is: done, missing, failed, by which shard") {
    options.Required("DEST", dest_, "folder or bucket that convert writes to, or one output of it");
    options.Flag("--json", is_json_, "print one JSON object");
    AddRemoteOptions(options, remote_);
  }

  Result<void> Run() override {
    const StoreAccess access{IoMode::kAuto, std::make_shared<Remote>(remote_, ReadEnvironment)};
    CKPT_TRY(const StatePlace place, FindStateOf(dest_, access));
    PrintWarnings(access.remote->TakeWarnings());
    const std::string shown = Printable(place.store->root().Print());
    if (place.runs.empty())
      return Fail(Error{Code::kNotFound,
                        "no conversion has begun here",
                        {},
                        {{"folder", shown}},
                        "name the folder that ckpt convert writes to"});
    nlohmann::ordered_json json = {{"destination", place.store->root().Print()},
                                   {"runs", nlohmann::ordered_json::array()}};
    for (const RunStatus& run : place.runs) {
      if (is_json_) {
        json["runs"].push_back(StatusJson(run));
      } else {
        fmt::print("{}", StatusText(shown, run));
      }
    }
    if (is_json_) fmt::print("{}\n", PrintJson(json));
    return {};
  }

 private:
  std::string dest_;
  RemoteSettings remote_;
  bool is_json_ = false;
};

}  // namespace

std::unique_ptr<Verb> AddStatus(CLI::App& root) { return std::make_unique<StatusVerb>(root); }

}  // namespace ckpt
