#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/json_text.h"
#include "base/text.h"
#include "base/units.h"
#include "cli/arguments.h"
#include "cli/differences.h"
#include "cli/plan_view.h"
#include "cli/registry.h"
#include "cli/verbs.h"
#include "cli/verify_chunked.h"
#include "cli/watched.h"
#include "run/compare.h"
#include "run/execute.h"
#include "run/report.h"
#include "source/digest.h"

namespace ckpt {
namespace {

// The parts of a report that verifying needs; the report is input like any other, so nothing of it
// is trusted.
// NOLINTNEXTLINE(bugprone-exception-escape): the library's constructor allocates
struct Report {
  nlohmann::json json;
  std::string target;
  TargetSettings settings;
  uint64_t bundle_bytes = 0;
  std::string file_name;  ///< "" of several: the folder tells
};

Result<Report> ReadReport(Store& store, const std::string& state_name) {
  Result<std::string> text = store.ReadWhole(ReportName(state_name), kMostReportBytes);
  if (!text && text.error().code == Code::kNotFound)
    return Fail(Code::kNotFound,
                "no report beside this output: it is not a finished output of ckpt",
                "name the folder that ckpt convert wrote to");
  if (!text) return Fail(std::move(text).error());
  Report report;
  report.json = ParseJson(*text);
  const auto damaged = [&] {
    return Fail(Error{Code::kBadInput,
                      "the report is damaged or of another version",
                      {},
                      {{"file", store.root().PrintBelow(ReportName(state_name))}},
                      "convert again with --overwrite"});
  };
  const nlohmann::json& json = report.json;
  if (json.is_object() && json.value("result", nlohmann::json()) == "failed")
    return Fail(Code::kNotFound, "the last run into this folder failed, its report says why",
                "run it again; verify what it leaves then");
  if (!json.is_object() || json.value("schema_version", nlohmann::json()) != kReportSchemaVersion)
    return damaged();
  if (IsChunkedReport(json)) return report;
  // Everything below is looked up by type; a missing or wrong one throws, and ends here.
  try {
    report.target = json.at("target").get<std::string>();
    report.settings.quantize = json.at("settings").at("quantize").get<std::string>();
    report.settings.is_dtype_preserved = json.at("settings").at("preserve_dtype").get<bool>();
    report.settings.model_name = json.at("settings").at("model").get<std::string>();
    report.bundle_bytes = json.at("settings").at("bundle_bytes").get<uint64_t>();
    report.settings.ignore = json.at("settings").at("ignore").get<std::vector<std::string>>();
    report.settings.is_quotient_rounded = json.at("settings").at("ct_arithmetic") == "cpu";
    report.settings.max_shard_bytes = json.at("settings").at("max_shard_bytes").get<uint64_t>();
    if (json.at("files").size() == 1)
      report.file_name = json.at("files").at(0).at("name").get<std::string>();
    for (const auto& [name, array] : json.at("arrays").items()) {
      if (!array.at("dtype").is_string() || !array.at("shape").is_array() ||
          !array.at("crc32c").is_string())
        return damaged();
    }
    for (const auto& companion : json.at("companions")) {
      if (!companion.at("name").is_string() || !companion.at("crc32c").is_string())
        return damaged();
    }
  } catch (const nlohmann::json::exception&) {
    return damaged();
  }
  return report;
}

std::string Hex(const Crc32c& crc) { return fmt::format("{:08x}", crc.value()); }

class VerifyVerb final : public Verb {
 public:
  explicit VerifyVerb(CLI::App& root)
      : Verb(root, "verify", "Re-read an output and hold it to its report, or to its source") {
    options.Required("DEST", dest_, "folder that convert wrote to");
    options.Optional("--source", arguments_.source,
                     "convert this again in memory and compare every byte");
    options.Flag("--quiet", arguments_.is_quiet, "no progress");
    options.Flag("--json", arguments_.is_json, "print one JSON object");
    AddResourceOptions(options, arguments_);
  }

  Result<void> Run() override {
    CKPT_TRY(Settings settings, ParseSettings(arguments_));
    const ReportPlace at = FindReport(dest_);
    CKPT_TRY(const SourcePlace place, FindSource(at.root, settings.access));
    if (!place.object.empty())
      return Fail(Code::kUsage, "verify takes the folder that convert wrote to, not a file",
                  "name the folder");
    CKPT_TRY(const Report report, ReadReport(*place.store, at.state_name));
    if (IsChunkedReport(report.json)) {
      CKPT_TRY(const Verified verified,
               arguments_.source.empty()
                   ? HoldChunkedToReport(at, report.json, settings)
                   : HoldChunkedToSource(at.root, report.json, arguments_, settings));
      Print(verified.arrays, verified.bytes,
            arguments_.source.empty() ? "as reported" : "byte for byte what the source gives");
      return {};
    }
    CKPT_TRY_VOID(arguments_.source.empty() ? HoldToReport(place, report, settings)
                                            : HoldToSource(*place.store, report, settings));
    return {};
  }

 private:
  // Names, types, shapes and checksums of everything in the output.
  Result<void> HoldToReport(const SourcePlace& place, const Report& report,
                            const Settings& settings) {
    const Resources& resources = settings.plan.resources;
    MemoryBudget budget(resources.memory_bytes > 0 ? resources.memory_bytes
                                                   : resources.least_memory_bytes);
    CKPT_TRY(const Catalog catalog, OpenSource({place.store, report.file_name}, budget));
    std::vector<std::string> faults;
    const nlohmann::json& arrays = report.json["arrays"];
    TensorStream stream(*place.store, catalog, budget);
    StopSignals signals;
    uint64_t bytes = 0;
    for (const TensorEntry& tensor : catalog.tensors) {
      const auto expected = arrays.find(tensor.name);
      if (expected == arrays.end()) {
        faults.push_back(fmt::format("\"{}\" is not in the report", Printable(tensor.name)));
        continue;
      }
      if ((*expected)["dtype"] != Name(tensor.dtype) ||
          (*expected)["shape"] != tensor.shape.extents) {
        faults.push_back(fmt::format("\"{}\" is {} {}, not as reported", Printable(tensor.name),
                                     Name(tensor.dtype), ToString(tensor.shape)));
        continue;
      }
      Crc32c crc;
      CKPT_TRY_VOID(
          stream.ForEachChunk(tensor, [&](std::span<const std::byte> chunk) -> Result<void> {
            if (const int signal = signals.Poll(); signal != 0)
              return StoppedBy(signal, "nothing was changed; run again");
            crc.Append(chunk);
            return {};
          }));
      bytes += crc.size_bytes();
      if ((*expected)["crc32c"] != Hex(crc))
        faults.push_back(fmt::format("\"{}\" has CRC-32C {}, {} reported", Printable(tensor.name),
                                     Hex(crc), (*expected)["crc32c"].get<std::string>()));
    }
    for (const auto& [name, array] : arrays.items()) {
      const bool is_there = std::any_of(
          catalog.tensors.begin(), catalog.tensors.end(),
          [&, key = std::string_view(name)](const TensorEntry& t) { return t.name == key; });
      if (!is_there) faults.push_back(fmt::format("\"{}\" is missing", Printable(name)));
    }
    for (const auto& companion : report.json["companions"]) {
      const auto name = companion["name"].get<std::string>();
      const Result<std::string> text = place.store->ReadWhole(name, kMostReportBytes);
      if (!text || companion["crc32c"] != Hex(Crc32c::Of(std::as_bytes(std::span(*text)))))
        faults.push_back(fmt::format("file {} is missing or changed", Printable(name)));
    }
    if (!faults.empty()) return FailDifferences(place.store->root().Print(), std::move(faults));
    Print(catalog.tensors.size(), bytes, "as reported");
    return {};
  }

  // What lies at an offset of the plan.
  static std::string Describe(const Plan& plan, uint64_t offset) {
    const auto array = plan.ArrayAt(offset);
    if (!array) return "the header";
    const uint64_t inside = offset - plan.arrays[*array].offset;
    const ArraySpec& spec = plan.output.arrays[*array];
    return fmt::format("{}, element {}", spec.name, inside / ElementBytes(spec.dtype));
  }

  // The plan again, with compare in place of write.
  Result<void> HoldToSource(Store& output, const Report& report, Settings& settings) {
    settings.target = FindTarget(report.target);
    if (settings.target == nullptr)
      return Fail(
          Code::kBadInput,
          fmt::format("the report names an unknown target \"{}\"", Printable(report.target)),
          "verify with the version that wrote it");
    settings.target_settings = report.settings;
    settings.plan.bundle_bytes = report.bundle_bytes;
    CKPT_TRY(PlannedRun run, PlanRun(arguments_.source, settings));
    const Plan& plan = run.plan;
    // Each lane compares beside its own plan.
    MemoryBudget budget(plan.memory.budget_bytes +
                        (plan.memory.lanes + 1ULL) * 2 * kCompareStepBytes);
    std::vector<std::shared_ptr<PositionedWriter>> writers;
    for (const FileSpec& spec : plan.output.files) {
      CKPT_TRY(const ObjectInfo file, output.Stat(spec.name));
      if (file.size_bytes != spec.size_bytes)
        return Fail(Error{
            Code::kBadInput,
            fmt::format("the file has {} bytes, {} expected", file.size_bytes, spec.size_bytes),
            {},
            {{"file", output.root().PrintBelow(file.name)}},
            "convert again; the output was made from another source or is damaged"});
      CKPT_TRY(std::unique_ptr<ObjectReader> reader, output.Open(file));
      writers.push_back(std::make_shared<CompareWriter>(
          std::move(reader), budget,
          [&plan, base = spec.base](uint64_t offset) { return Describe(plan, base + offset); }));
    }
    OpenFiles files(std::move(writers));
    Progress progress;
    const Result<void> result = RunWatched<void>(
        plan.totals, plan.memory.budget_bytes, arguments_.is_quiet,
        "nothing was changed; run again", [&](Watch& watch) -> Result<void> {
          CKPT_TRY_VOID(Execute(plan, *run.place.store, files, nullptr,
                                WholeWork(plan.bundles.size()), budget, progress, watch));
          return {};
        });
    if (!result) return Fail(result.error());
    Print(plan.arrays.size(), plan.output.FileBytes(), "byte for byte what the source gives");
    return {};
  }

  void Print(size_t arrays, uint64_t bytes, std::string_view verdict) const {
    if (arguments_.is_json) {
      const nlohmann::ordered_json json = {
          {"verdict", "ok"},
          {"arrays", arrays},
          {"bytes", bytes},
          {"compared_with", arguments_.source.empty() ? "report" : "source"}};
      fmt::print("{}\n", PrintJson(json));
    } else {
      fmt::print("ok: {} arrays, {}, {}\n", arrays, FormatBytes(bytes), verdict);
    }
  }

  std::string dest_;
  Arguments arguments_;
};

}  // namespace

std::unique_ptr<Verb> AddVerify(CLI::App& root) { return std::make_unique<VerifyVerb>(root); }

}  // namespace ckpt
