#include "store/gs/gs_options.h"

#include <algorithm>
#include <utility>

#include "store/gs/part_layout.h"
#include "store/gs/positioned_memory.h"
#include "store/gs/upload_buffer.h"

namespace ckpt {

Result<std::optional<http::Url>> GsEmulator(const Environment& environment) {
  std::string address = environment("STORAGE_EMULATOR_HOST").value_or("");
  if (address.empty()) return std::optional<http::Url>();
  if (address.find("://") == std::string::npos) address = "http://" + address;
  CKPT_TRY(http::Url url,
           http::Url::Parse(address).map_error(Where("variable", "STORAGE_EMULATOR_HOST")));
  return std::optional(std::move(url));
}

Result<GsOptions> GsOptionsFromEnvironment(const Environment& environment,
                                           std::shared_ptr<http::Engine> engine) {
  GsOptions options;
  options.engine = std::move(engine);
  CKPT_TRY(const auto emulator, GsEmulator(environment));
  if (emulator) options.endpoint = *emulator;
  options.user_project = environment("GOOGLE_CLOUD_QUOTA_PROJECT").value_or("");
  return options;
}

gs::PoolSize gs::PoolSizeOf(const GsOptions& options, const PartLayout& layout) {
  const size_t filling =
      std::min(layout.parts.size(), std::max<size_t>(1, options.open_segments) + layout.straddling);
  const size_t buffers =
      std::min(layout.parts.size(), filling + std::max(1U, options.parts_in_flight));
  return {buffers, filling};
}

uint64_t GsPositionedBytes(const GsOptions& options, uint64_t size_bytes,
                           std::span<const uint64_t> borders) {
  const gs::PartLayout layout = gs::CutIntoParts(size_bytes, borders, options.part_bytes);
  return gs::PoolSizeOf(options, layout).buffers * gs::UploadBuffer::GrantBytes(layout.most_bytes);
}

uint64_t GsSequentialBytes(const GsOptions& options) {
  return gs::UploadBuffer::GrantBytes(options.chunk_bytes);
}

}  // namespace ckpt
