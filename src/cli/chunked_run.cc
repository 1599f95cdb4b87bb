#include "cli/chunked_run.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/units.h"
#include "cli/plan_view.h"
#include "cli/registry.h"
#include "cli/version.h"
#include "cli/watched.h"
#include "model/family.h"
#include "run/chunked_convert.h"
#include "run/chunked_destination.h"

namespace ckpt {
namespace {

using Json = nlohmann::ordered_json;

// What a server is told names paths as a user sees them.
std::string WithRoot(const std::string& line, const Store& destination) {
  constexpr std::string_view key = "load_parameters_path=";
  const size_t at = line.find(key);
  if (at == std::string::npos) return line;
  const size_t path = at + key.size();
  const size_t end = std::min(line.find(' ', path), line.size());
  return line.substr(0, path) + destination.root().PrintBelow(line.substr(path, end - path)) +
         line.substr(end);
}

void PrintResult(const ChunkedPlan& plan, const ChunkedResult& result, const Store& destination) {
  const RunFigures& figures = result.figures;
  const auto moved = static_cast<double>(figures.execute.read_bytes + result.written_bytes);
  fmt::print("converted {} -> {} ({})\n", plan.catalog.root.Print(), destination.root().Print(),
             plan.target);
  fmt::print("  {} in, {} out, {:.2f} s, {} moved; CPU {:.2f} s\n",
             FormatBytes(figures.execute.read_bytes), FormatBytes(result.written_bytes),
             figures.wall_s, FormatRate(moved / std::max(1e-3, figures.wall_s)), figures.cpu_s);
  fmt::print("  peak memory {} of a budget of {}\n", FormatMemory(figures.peak_rss_bytes),
             FormatMemory(plan.memory.budget_bytes));
  if (destination.KeepsObjects())
    fmt::print("  report in {}\n", destination.root().PrintBelow(kReportName));
  for (const std::string& note : plan.model.notes) fmt::print("  {}\n", note);
  for (const ChunkedOutput& output : plan.outputs) {
    fmt::print("{}: {} arrays, {:.2f} bits per weight, in {}\n", output.name, output.arrays.size(),
               BitsPerWeight(output), destination.root().PrintBelow(output.root));
    for (const CompanionSpec& companion : output.companions)
      fmt::print("  the server's configuration lies in {}\n",
                 destination.root().PrintBelow(companion.name));
    for (const std::string& line : output.how_to_load) {
      const bool is_flags = line.find("load_parameters_path=") != std::string::npos;
      fmt::print("  {}{}\n", is_flags ? "load with: " : "", WithRoot(line, destination));
    }
  }
}

Json JsonOf(const ChunkedPlan& plan) {
  const Totals& totals = plan.totals;
  const ChunkedMemory& memory = plan.memory;
  Json outputs = Json::array();
  for (const ChunkedOutput& output : plan.outputs) {
    Json arrays = Json::object();
    for (const ChunkedArray& array : output.arrays)
      arrays[array.name] = {
          {"dtype", Name(array.dtype)}, {"shape", array.shape.extents}, {"chunk", array.chunk}};
    outputs.push_back({{"name", output.name},
                       {"path", output.root},
                       {"items", output.items},
                       {"bits_per_weight", BitsPerWeight(output)},
                       {"load_with", output.how_to_load},
                       {"arrays", arrays}});
  }
  Json rereads = Json::array();
  for (const Reread& reread : plan.rereads)
    rereads.push_back({{"array", reread.array}, {"why", reread.why}, {"bytes", reread.bytes}});
  return {{"target", plan.target},
          {"family", plan.model.family->name()},
          {"model", {{"name", plan.model.served_name}, {"notes", plan.model.notes}}},
          {"source",
           {{"uri", plan.catalog.root.Print()},
            {"format", plan.catalog.format},
            {"scheme", plan.model.source_scheme}}},
          {"dims", plan.model.dims},
          {"outputs", outputs},
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
            {"band_bytes", memory.in_bytes}}},
          {"scratch_disk_bytes", 0},
          {"layout_digest", plan.layout_digest},
          {"run_digest", plan.run_digest},
          {"warnings", plan.warnings}};
}

std::string TextOf(const ChunkedPlan& plan) {
  const Totals& totals = plan.totals;
  const ChunkedMemory& memory = plan.memory;
  std::string text;
  const auto row = [&](std::string_view name, const std::string& value) {
    text += fmt::format("{:<10}{}\n", name, value);
  };
  row("source", fmt::format("{} ({}, scheme {})", plan.catalog.root.Print(), plan.catalog.format,
                            plan.model.source_scheme));
  row("family", plan.model.family->name());
  for (const std::string& note : plan.model.notes) row("", note);
  for (const ChunkedOutput& output : plan.outputs)
    row("output", fmt::format("{}: {} arrays in {}, {:.2f} bits per weight", output.name,
                              output.arrays.size(), output.root, BitsPerWeight(output)));
  row("read", fmt::format("{} ({} bytes) in {} requests", FormatBytes(totals.read_bytes),
                          totals.read_bytes, totals.requests));
  for (const Reread& reread : plan.rereads)
    row("",
        fmt::format("{} of it again: {}, {}", FormatBytes(reread.bytes), reread.array, reread.why));
  row("write",
      fmt::format("{} ({} bytes)", FormatBytes(totals.written_bytes), totals.written_bytes));
  row("memory", fmt::format("{} at most, of a budget of {}", FormatMemory(memory.peak_bytes),
                            FormatMemory(memory.budget_bytes)));
  row("work",
      fmt::format("{} bundles of up to {}, {} lanes, bands of {}", plan.bundles.size() + 1,
                  FormatMemory(plan.bundle_bytes), memory.lanes, FormatMemory(memory.in_bytes)));
  row("disk", "none beside the output");
  row("layout", plan.layout_digest);
  row("run", plan.run_digest);
  return text;
}

}  // namespace

bool IsSameFolder(const Store& a, const Store& b) {
  struct stat first {};
  struct stat second {};
  return a.KeepsObjects() && b.KeepsObjects() && stat(a.root().path().c_str(), &first) == 0 &&
         stat(b.root().path().c_str(), &second) == 0 && first.st_dev == second.st_dev &&
         first.st_ino == second.st_ino;
}

Result<void> RunChunkedConvert(const Arguments& arguments, const Settings& settings) {
  CKPT_TRY(const std::shared_ptr<Store> destination,
           OpenDestination(settings.destination, settings.io_mode));
  CKPT_TRY(PlannedChunkedRun run,
           PlanChunkedRun(arguments.source, settings, !destination->KeepsObjects()));
  if (IsSameFolder(*run.place.store, *destination))
    return Fail(Code::kUsage, "source and destination are the same folder",
                "name another destination");
  CKPT_TRY_VOID(
      CheckDestination(*destination, run.plan, *settings.chunked, arguments.is_overwriting));
  PrintWarnings(run.plan.warnings);
  const ConvertOptions options{arguments.is_overwriting, settings.plan.resources.threads,
                               arguments.io, std::string(kVersion)};
  const Result<ChunkedResult> result = RunWatched<ChunkedResult>(
      run.plan.totals, run.plan.memory.budget_bytes, arguments.is_quiet,
      "what was written is removed; run again", [&](Watch& watch) {
        return ConvertChunked(run.plan, *settings.chunked, *run.place.store, *destination,
                              *run.budget, options, watch);
      });
  if (!result) return Fail(result.error());
  if (arguments.is_json) {
    Json json = Json::parse(MakeChunkedReport(run.plan, *result, kVersion));
    json["destination"] = destination->root().Print();
    fmt::print("{}\n", json.dump(1));
  } else {
    PrintResult(run.plan, *result, *destination);
  }
  return {};
}

Result<void> RunChunkedPlan(const Arguments& arguments, const Settings& settings) {
  std::shared_ptr<Store> destination;
  const bool has_destination = !arguments.destination.empty();
  if (has_destination) {
    CKPT_TRY(destination, OpenDestination(settings.destination, settings.io_mode));
  }
  CKPT_TRY(
      const PlannedChunkedRun run,
      PlanChunkedRun(arguments.source, settings, has_destination && !destination->KeepsObjects()));
  if (has_destination)
    CKPT_TRY_VOID(
        CheckDestination(*destination, run.plan, *settings.chunked, arguments.is_overwriting));
  PrintWarnings(run.plan.warnings);
  fmt::print("{}", arguments.is_json ? JsonOf(run.plan).dump(1) + "\n" : TextOf(run.plan));
  return {};
}

}  // namespace ckpt
