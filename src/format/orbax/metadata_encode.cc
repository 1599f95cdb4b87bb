#include <fmt/format.h>

#include <algorithm>

#include "format/orbax/metadata.h"
#include "format/orbax/python_text.h"

namespace ckpt {
namespace {

constexpr std::string_view kHandler =
    "orbax.checkpoint._src.handlers.pytree_checkpoint_handler.PyTreeCheckpointHandler";

std::string_view Bool(bool value) { return value ? "true" : "false"; }

void AppendLeaf(std::string& json, const OrbaxLeaf& leaf) {
  python::AppendJsonString(json, python::TupleRepr(leaf.path));
  json += R"(: {"key_metadata": [)";
  for (size_t i = 0; i < leaf.path.size(); ++i) {
    json += i > 0 ? R"(, {"key": )" : R"({"key": )";
    python::AppendJsonString(json, leaf.path[i].name);
    json += fmt::format(R"(, "key_type": {}}})",
                        leaf.path[i].is_sequence ? kOrbaxSequenceKeyType : kOrbaxDictKeyType);
  }
  json += R"(], "value_metadata": {"value_type": )";
  python::AppendJsonString(json, leaf.value_type);
  json += fmt::format(R"(, "skip_deserialize": {}}}}})", Bool(leaf.skip_deserialize));
}

}  // namespace

std::string EncodeOrbaxMetadata(const OrbaxMetadata& metadata) {
  std::string json = R"({"tree_metadata": {)";
  for (size_t i = 0; i < metadata.leaves.size(); ++i) {
    if (i > 0) json += ", ";
    AppendLeaf(json, metadata.leaves[i]);
  }
  json += "}";
  if (metadata.use_ocdbt) json += fmt::format(R"(, "use_ocdbt": {})", Bool(*metadata.use_ocdbt));
  json += fmt::format(
      R"(, "use_zarr3": {}, "store_array_data_equal_to_fill_value": {}, "custom_metadata": null}})",
      Bool(metadata.use_zarr3), Bool(metadata.stores_fill_chunks));
  return json;
}

std::string EncodeOrbaxStepMetadata(std::string_view item) {
  std::string handlers;
  if (item.empty()) {
    python::AppendJsonString(handlers, kHandler);
  } else {
    handlers += '{';
    python::AppendJsonString(handlers, item);
    handlers += ": ";
    python::AppendJsonString(handlers, kHandler);
    handlers += '}';
  }
  return fmt::format(R"({{"item_handlers": {}, "metrics": {{}}, "performance_metrics": {{}}, )"
                     R"("init_timestamp_nsecs": 1, "commit_timestamp_nsecs": 1, )"
                     R"("custom_metadata": {{}}}})",
                     handlers);
}

}  // namespace ckpt
