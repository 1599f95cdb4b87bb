#include "cli/plan_view.h"

#include <fmt/format.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "base/json_text.h"
#include "base/units.h"
#include "model/family.h"

namespace ckpt {

std::string NetworkText(const NetworkFigures& network) {
  std::string text = fmt::format("  network: {} received, {} sent in {} requests",
                                 FormatBytes(network.received_bytes),
                                 FormatBytes(network.sent_bytes), network.requests);
  for (const auto& [reason, count] : network.retries)
    text += fmt::format(", {} again ({})", count, reason);
  return text + "\n";
}

std::string FiguresText(const RunFigures& figures, uint64_t written_bytes, uint64_t budget_bytes) {
  const auto moved = static_cast<double>(figures.execute.read_bytes + written_bytes);
  std::string text = fmt::format("  {} in, {} out, {:.2f} s, {} moved; CPU {:.2f} s\n",
                                 FormatBytes(figures.execute.read_bytes),
                                 FormatBytes(written_bytes), figures.wall_s,
                                 FormatRate(moved / std::max(1e-3, figures.wall_s)), figures.cpu_s);
  text += fmt::format("  peak memory {} of a budget of {}\n", FormatMemory(figures.peak_rss_bytes),
                      FormatMemory(budget_bytes));
  if (figures.network) text += NetworkText(*figures.network);
  return text;
}

void PrintWarnings(const std::vector<std::string>& warnings) {
  for (const std::string& warning : warnings) fmt::print(stderr, "warning: {}\n", warning);
}

void PrintNotice(const std::string& notice) {
  if (!notice.empty()) fmt::print(stderr, "notice: {}\n", notice);
}

nlohmann::ordered_json SourceJson(const PlanBase& plan) {
  return {{"uri", plan.catalog.root.Print()},
          {"format", plan.catalog.format},
          {"scheme", plan.model.source_scheme}};
}

nlohmann::ordered_json BytesJson(const PlanBase& plan) {
  const Totals& totals = plan.totals;
  return {{"read", totals.read_bytes},
          {"read_twice", totals.read_again_bytes},
          {"headers", totals.header_bytes},
          {"source_tensors", totals.source_tensor_bytes},
          {"written", totals.written_bytes}};
}

nlohmann::ordered_json RereadsJson(const PlanBase& plan) {
  auto rereads = nlohmann::ordered_json::array();
  for (const Reread& reread : plan.rereads)
    rereads.push_back({{"array", reread.array}, {"why", reread.why}, {"bytes", reread.bytes}});
  return rereads;
}

std::string PlanRow(std::string_view name, std::string_view value) {
  return fmt::format("{:<10}{}\n", name, value);
}

std::string SourceText(const PlanBase& plan) {
  return fmt::format("{} ({}, scheme {})", plan.catalog.root.Print(), plan.catalog.format,
                     plan.model.source_scheme);
}

std::string ReadRows(const PlanBase& plan) {
  const Totals& totals = plan.totals;
  std::string text =
      PlanRow("read", fmt::format("{} ({} bytes) in {} requests", FormatBytes(totals.read_bytes),
                                  totals.read_bytes, totals.requests));
  for (const Reread& reread : plan.rereads)
    text += PlanRow("", fmt::format("{} of it again: {}, {}", FormatBytes(reread.bytes),
                                    reread.array, reread.why));
  return text;
}

std::string MemoryRow(uint64_t peak_bytes, uint64_t budget_bytes) {
  return PlanRow("memory", fmt::format("{} at most, of a budget of {}", FormatMemory(peak_bytes),
                                       FormatMemory(budget_bytes)));
}

std::string DigestRows(const PlanBase& plan) {
  return PlanRow("disk", "none beside the output") + PlanRow("layout", plan.layout_digest) +
         PlanRow("run", plan.run_digest);
}

namespace {

std::string FilesText(const OutputSpec& output) {
  if (output.files.size() == 1) return output.files.front().name;
  return fmt::format("{} to {}", output.files.front().name, output.files.back().name);
}

size_t CountFiles(const OutputSpec& output) {
  return output.files.size() + output.companions.size() + (output.marker ? 1 : 0);
}

nlohmann::ordered_json FilesJson(const OutputSpec& output) {
  nlohmann::ordered_json files = nlohmann::ordered_json::array();
  for (const FileSpec& file : output.files)
    files.push_back({{"name", file.name}, {"size_bytes", file.size_bytes}});
  return files;
}

}  // namespace

std::string PrintPlan(const Plan& plan) {
  const Totals& totals = plan.totals;
  const MemoryPlan& memory = plan.memory;
  std::string dims;
  for (const auto& [name, extent] : plan.model.dims)
    dims += fmt::format("{}{}={}", dims.empty() ? "" : " ", name, extent);
  std::string text;
  const auto row = [&](std::string_view name, const std::string& value) {
    text += PlanRow(name, value);
  };
  row("source", SourceText(plan));
  row("family", fmt::format("{}  {}", plan.model.family->name(), dims));
  row("target",
      fmt::format("{}, {}: {} arrays in {}, {:.2f} bits per weight", plan.target, plan.output.name,
                  plan.output.arrays.size(), FilesText(plan.output), BitsPerWeight(plan)));
  text += ReadRows(plan);
  row("write", fmt::format("{} ({} bytes) in {} files", FormatBytes(totals.written_bytes),
                           totals.written_bytes, CountFiles(plan.output)));
  text += MemoryRow(memory.peak_bytes, memory.budget_bytes);
  row("work", fmt::format("{} bundles of up to {}, {} lanes, tiles of {}", plan.bundles.size() + 1,
                          FormatMemory(plan.bundle_bytes), memory.lanes,
                          FormatMemory(memory.tile_in_bytes)));
  text += DigestRows(plan);
  return text;
}

std::string PlanJson(const Plan& plan) {
  using Json = nlohmann::ordered_json;
  const Totals& totals = plan.totals;
  const MemoryPlan& memory = plan.memory;
  Json companions = Json::array();
  for (const CompanionSpec& companion : plan.output.companions)
    companions.push_back(companion.name);
  if (plan.output.marker) companions.push_back(plan.output.marker->name);
  const Json json = {
      {"target", plan.target},
      {"output", plan.output.name},
      {"family", plan.model.family->name()},
      {"source", SourceJson(plan)},
      {"dims", plan.model.dims},
      {"arrays", plan.output.arrays.size()},
      {"bits_per_weight", BitsPerWeight(plan)},
      {"files", FilesJson(plan.output)},
      {"companions", companions},
      {"bytes", BytesJson(plan)},
      {"rereads", RereadsJson(plan)},
      {"requests", totals.requests},
      {"bundles", plan.bundles.size() + 1},
      {"bundle_bytes", plan.bundle_bytes},
      {"memory",
       {{"budget_bytes", memory.budget_bytes},
        {"peak_bytes", memory.peak_bytes},
        {"lanes", memory.lanes},
        {"tile_bytes", memory.tile_in_bytes},
        {"hold_bytes", memory.hold_bytes},
        {"hold_pool_bytes", memory.hold_pool_bytes}}},
      {"scratch_disk_bytes", 0},
      {"layout_digest", plan.layout_digest},
      {"run_digest", plan.run_digest},
      {"warnings", plan.warnings},
  };
  return PrintJson(json) + "\n";
}

}  // namespace ckpt
