#include "run/report_state.h"

#include <nlohmann/json.hpp>

#include "base/json_text.h"
#include "run/journal.h"
#include "run/mark.h"
#include "run/report.h"

namespace ckpt {
namespace {

std::string ErrorIn(const nlohmann::json& report) {
  const auto error = report.find("error");
  if (error == report.end() || !error->is_object()) return "";
  const auto what = error->find("what");
  return what != error->end() && what->is_string() ? what->get<std::string>() : "";
}

}  // namespace

Result<ReportState> ReadReportState(Store& destination, std::string_view state_name) {
  const Result<std::string> text = destination.ReadWhole(ReportName(state_name), kMostReportBytes);
  if (!text) {
    if (text.error().code == Code::kNotFound || text.error().code == Code::kBadInput)
      return ReportState{};
    return Fail(text.error());
  }
  const auto json = ParseJson(*text);
  if (!json.is_object() || json.value("program", nlohmann::json()) != "ckpt") return ReportState{};
  if (json.value("result", nlohmann::json()) == "failed")
    return ReportState{ReportState::Kind::kFailed, "", ErrorIn(json)};
  const auto digest = json.find("run_digest");
  if (digest == json.end() || !digest->is_string()) return ReportState{};
  return ReportState{ReportState::Kind::kDone, digest->get<std::string>(), ""};
}

Result<bool> HasReportOf(Store& destination, const PlanBase& plan) {
  CKPT_TRY(const ReportState state, ReadReportState(destination, plan.state_name));
  return state.kind == ReportState::Kind::kDone && state.run_digest == plan.run_digest;
}

Result<void> WriteFailureReport(Store& destination, const std::string& text, const PlanBase& plan) {
  const std::string& name = plan.state_name;
  CKPT_TRY(const std::optional<Mark> mark, ReadMark(destination, name));
  CKPT_TRY(const Standing standing, StandingOf(destination, mark, plan));
  CKPT_TRY(const ReportState state, ReadReportState(destination, name));
  const bool is_own = mark && mark->run_digest == plan.run_digest;
  if (is_own && state.kind == ReportState::Kind::kDone && state.run_digest == plan.run_digest)
    return {};
  if (standing != Standing::kOwnUnfinished) {
    CKPT_TRY(std::vector<ObjectInfo> objects, ListDestination(destination, StateFolder(name)));
    std::erase_if(objects, [&](const ObjectInfo& object) {
      return object.name == LockName(name) || IsLeftover(object.name, name);
    });
    if (!objects.empty() && state.kind != ReportState::Kind::kFailed)
      return Fail(Code::kCannotCreate, "the destination holds the state of another run");
    // A mark of no run: nothing was made.
    PlanBase nothing;
    nothing.state_name = name;
    if (objects.empty()) CKPT_TRY_VOID(WriteMark(destination, nothing, Mark{}));
  }
  CKPT_TRY_VOID(WriteSmallObject(destination, ReportName(name), text, StateObject(name, false)));
  return {};
}

}  // namespace ckpt
