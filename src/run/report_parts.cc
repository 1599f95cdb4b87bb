#include "run/report_parts.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

namespace ckpt {

using Json = nlohmann::ordered_json;

Json SourceOf(const PlanBase& plan, const SourceChecks::Verdict& checks) {
  Json objects = Json::array();
  for (const ObjectInfo& object : plan.catalog.objects)
    objects.push_back({{"name", object.name},
                       {"size_bytes", object.size_bytes},
                       {"generation", object.generation.value}});
  Json configs = Json::object();
  for (const SourceConfig& config : plan.catalog.configs) {
    if (!config.text.empty()) configs[config.object] = config.text;
  }
  return {{"uri", plan.catalog.root.Print()},
          {"format", plan.catalog.format},
          {"scheme", plan.model.source_scheme},
          {"dims", plan.model.dims},
          {"facts", plan.model.facts},
          {"ignored", plan.model.ignored},
          {"objects", objects},
          {"configs", configs},
          {"checksums", {{"held", checks.checked}, {"not_read_whole", checks.incomplete}}},
          {"unverified", plan.catalog.unverified}};
}

Json MemoryOf(uint64_t budget_bytes, uint64_t planned_peak_bytes, const RunFigures& figures) {
  return {{"budget_bytes", budget_bytes},
          {"planned_peak_bytes", planned_peak_bytes},
          {"granted_peak_bytes", figures.execute.granted_peak_bytes},
          {"peak_rss_bytes", figures.peak_rss_bytes}};
}

Json NetworkOf(const NetworkFigures& network) {
  return {{"requests", network.requests},
          {"received_bytes", network.received_bytes},
          {"sent_bytes", network.sent_bytes},
          {"retries", network.retries}};
}

Json ResumedOf(const ShardFigures& shard) {
  return {{"bundles_kept", shard.kept},
          {"bundles_made", shard.own},
          {"read_again_at_most_bytes", shard.read_again_at_most}};
}

Json FilesOf(std::span<const CompanionResult> files) {
  Json list = Json::array();
  for (const CompanionResult& file : files)
    list.push_back(
        {{"name", file.name}, {"size_bytes", file.crc.size_bytes()}, {"crc32c", Hex(file.crc)}});
  return list;
}

std::string Hex(const Crc32c& crc) { return fmt::format("{:08x}", crc.value()); }

Json BytesOf(const PlanBase& plan, uint64_t read_bytes, uint64_t written_bytes) {
  Json rereads = Json::array();
  for (const Reread& reread : plan.rereads)
    rereads.push_back({{"array", reread.array}, {"why", reread.why}, {"bytes", reread.bytes}});
  return {{"read", read_bytes},
          {"read_twice", plan.totals.read_again_bytes},
          {"headers", plan.totals.header_bytes},
          {"source_tensors", plan.totals.source_tensor_bytes},
          {"written", written_bytes},
          {"rereads", rereads}};
}

}  // namespace ckpt
