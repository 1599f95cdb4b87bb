#include "cli/plan_view.h"

#include <fmt/format.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "base/units.h"
#include "model/family.h"

namespace ckpt {

void PrintWarnings(const std::vector<std::string>& warnings) {
  for (const std::string& warning : warnings) fmt::print(stderr, "warning: {}\n", warning);
}

std::string PrintPlan(const Plan& plan) {
  const Totals& totals = plan.totals;
  const MemoryPlan& memory = plan.memory;
  std::string dims;
  for (const auto& [name, extent] : plan.model.dims)
    dims += fmt::format("{}{}={}", dims.empty() ? "" : " ", name, extent);
  std::string text;
  const auto row = [&](std::string_view name, std::string value) {
    text += fmt::format("{:<10}{}\n", name, value);
  };
  row("source", fmt::format("{} ({}, scheme {})", plan.catalog.root.Print(), plan.catalog.format,
                            plan.model.source_scheme));
  row("family", fmt::format("{}  {}", plan.model.family->name(), dims));
  row("target", fmt::format("{}, {}: {} arrays in {}", plan.target, plan.output.name,
                            plan.output.arrays.size(), plan.output.file.name));
  row("read", fmt::format("{} ({} bytes) in {} requests", FormatBytes(totals.read_bytes),
                          totals.read_bytes, totals.requests));
  for (const Reread& reread : plan.rereads)
    row("",
        fmt::format("{} of it again: {}, {}", FormatBytes(reread.bytes), reread.array, reread.why));
  row("write", fmt::format("{} ({} bytes) in {} files", FormatBytes(totals.written_bytes),
                           totals.written_bytes, 1 + plan.output.companions.size()));
  row("memory", fmt::format("{} at most, of a budget of {}", FormatMemory(memory.peak_bytes),
                            FormatMemory(memory.budget_bytes)));
  row("work", fmt::format("{} bundles of up to {}, {} lanes, tiles of {}", plan.bundles.size() + 1,
                          FormatMemory(plan.bundle_bytes), memory.lanes,
                          FormatMemory(memory.tile_in_bytes)));
  row("disk", "none beside the output");
  row("layout", plan.layout_digest);
  row("run", plan.run_digest);
  return text;
}

std::string PlanJson(const Plan& plan) {
  using Json = nlohmann::ordered_json;
  const Totals& totals = plan.totals;
  const MemoryPlan& memory = plan.memory;
  Json rereads = Json::array();
  for (const Reread& reread : plan.rereads)
    rereads.push_back({{"array", reread.array}, {"why", reread.why}, {"bytes", reread.bytes}});
  Json companions = Json::array();
  for (const CompanionSpec& companion : plan.output.companions)
    companions.push_back(companion.name);
  const Json json = {
      {"target", plan.target},
      {"output", plan.output.name},
      {"family", plan.model.family->name()},
      {"source",
       {{"uri", plan.catalog.root.Print()},
        {"format", plan.catalog.format},
        {"scheme", plan.model.source_scheme}}},
      {"dims", plan.model.dims},
      {"arrays", plan.output.arrays.size()},
      {"file", {{"name", plan.output.file.name}, {"size_bytes", plan.output.file.size_bytes}}},
      {"companions", companions},
      {"bytes",
       {{"read", totals.read_bytes},
        {"read_twice", totals.read_again_bytes},
        {"headers", totals.header_bytes},
        {"source_tensors", totals.source_tensor_bytes},
        {"written", totals.written_bytes}}},
      {"rereads", rereads},
      {"requests", totals.requests},
      {"bundles", plan.bundles.size() + 1},
      {"bundle_bytes", plan.bundle_bytes},
      {"memory",
       {{"budget_bytes", memory.budget_bytes},
        {"peak_bytes", memory.peak_bytes},
        {"lanes", memory.lanes},
        {"tile_bytes", memory.tile_in_bytes},
        {"hold_bytes", memory.hold_bytes},
        {"hold_slots", memory.hold_slots}}},
      {"scratch_disk_bytes", 0},
      {"layout_digest", plan.layout_digest},
      {"run_digest", plan.run_digest},
      {"warnings", plan.warnings},
  };
  return json.dump(1) + "\n";
}

}  // namespace ckpt
