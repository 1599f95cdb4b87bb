#include "cli/shard_view.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/json_text.h"
#include "base/units.h"
#include "cli/plan_view.h"

namespace ckpt {
namespace {

using Json = nlohmann::ordered_json;

uint64_t MovedBytes(const ShardPart& part) { return part.read_bytes + part.written_bytes; }

std::string BalanceText(std::span<const ShardPart> parts) {
  const ShardBalance balance = BalanceOf(parts);
  return fmt::format("{} to {} in and out, {} in the mean; a bundle up to {}",
                     FormatBytes(balance.least_bytes), FormatBytes(balance.most_bytes),
                     FormatBytes(balance.mean_bytes), FormatBytes(balance.largest_bundle_bytes));
}

std::string Rows(std::span<const ShardPart> parts, const ShardChoice& shard) {
  if (!shard.has_index)
    return PlanRow("shards", fmt::format("{}: each {}", shard.count, BalanceText(parts)));
  const ShardPart& part = parts[shard.index];
  uint32_t bundles = 0;
  for (const ShardPart& other : parts) bundles += other.bundles;
  std::string text =
      PlanRow("shard", fmt::format("{} of {}: {} of {} bundles, {} in, {} out", shard.index,
                                   shard.count, part.bundles, bundles, FormatBytes(part.read_bytes),
                                   FormatBytes(part.written_bytes)));
  return text + PlanRow("", fmt::format("each shard {}", BalanceText(parts)));
}

Json ShardsJson(std::span<const ShardPart> parts, const ShardChoice& shard) {
  const ShardBalance balance = BalanceOf(parts);
  Json list = Json::array();
  for (const ShardPart& part : parts)
    list.push_back({{"bundles", part.bundles},
                    {"read_bytes", part.read_bytes},
                    {"written_bytes", part.written_bytes},
                    {"largest_bundle_bytes", part.largest_bundle_bytes},
                    {"has_statistic", part.has_statistic}});
  return {{"count", shard.count},
          {"index", shard.has_index ? Json(shard.index) : Json()},
          {"moved_bytes",
           {{"least", balance.least_bytes},
            {"mean", balance.mean_bytes},
            {"most", balance.most_bytes},
            {"largest_bundle", balance.largest_bundle_bytes}}},
          {"parts", list}};
}

}  // namespace

ShardBalance BalanceOf(std::span<const ShardPart> parts) {
  ShardBalance balance{UINT64_MAX, 0, 0, 0};
  for (const ShardPart& part : parts) {
    balance.least_bytes = std::min(balance.least_bytes, MovedBytes(part));
    balance.mean_bytes += MovedBytes(part);
    balance.most_bytes = std::max(balance.most_bytes, MovedBytes(part));
    balance.largest_bundle_bytes =
        std::max(balance.largest_bundle_bytes, part.largest_bundle_bytes);
  }
  balance.mean_bytes /= std::max<size_t>(1, parts.size());
  return balance;
}

std::string PlanTextOf(const Conversion& conversion, const ShardChoice& shard) {
  std::string text = conversion.PlanText();
  if (shard.is_split()) text += Rows(conversion.ShardParts(shard.count), shard);
  return text;
}

std::string PlanJsonOf(const Conversion& conversion, const ShardChoice& shard) {
  if (!shard.is_split()) return conversion.PlanJson();
  Json json = ParseOrderedJson(conversion.PlanJson());
  json["shards"] = ShardsJson(conversion.ShardParts(shard.count), shard);
  return PrintJson(json) + "\n";
}

}  // namespace ckpt
