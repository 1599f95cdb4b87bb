#include "run/bundle_files.h"

#include <cstring>

#include "base/check.h"
#include "base/checked.h"

namespace ckpt {
BundleFiles::BundleFiles(const ChunkedContext& context, const ChunkedBundle& bundle,
                         std::span<std::byte> packed)
    : context_(&context), packed_(packed), files_(bundle.file_bytes.size()) {
  record_.number = bundle.number;
}

Result<BundleFiles> BundleFiles::Open(const ChunkedContext& context, const ChunkedBundle& bundle,
                                      std::span<std::byte> packed) {
  BundleFiles files(context, bundle, packed);
  for (size_t o = 0; o < files.files_.size(); ++o) {
    const ChunkedOutput& output = context.plan.outputs[o];
    if (bundle.file_bytes[o] == 0 || output.is_object_per_chunk) continue;
    CKPT_CHECK(!context.folders[o].empty());  // a committed output has all its bundles
    const std::string name =
        Below(context.folders[o], context.target.DataFileName(context.plan, o, bundle.number));
    if (output.codec == ChunkCodec::kZstd) {
      CKPT_TRY(files.files_[o].appended, context.destination.Create(name, OwnObject(context.plan)));
    } else {
      CKPT_TRY(files.files_[o].positioned,
               context.destination.CreatePositioned(name, bundle.file_bytes[o],
                                                    OwnObject(context.plan)));
    }
  }
  return files;
}

Result<void> BundleFiles::Write(const RoleWork& work, const Product& product,
                                const MadeProduct& made, uint64_t band, std::span<std::byte> stored,
                                std::vector<IoFuture>& writes) {
  const ChunkedPlan& plan = context_->plan;
  for (const SliceRef& ref : product.slices) {
    const ChunkedOutput& output = plan.outputs[ref.output];
    const auto array = static_cast<uint32_t>(output.slices[ref.slice].array);
    // The first slice's chunks are known; another array of the same elements numbers its own.
    const bool is_first = ref.output == product.slices.front().output;
    const std::vector<BandChunk> own =
        is_first ? std::vector<BandChunk>() : BandChunks(plan, work, ref, band);
    const std::vector<BandChunk>& chunks = is_first ? made.chunks : own;
    CKPT_CHECK(chunks.size() == made.crcs.size());
    if (output.is_object_per_chunk) {
      CKPT_TRY_VOID(WriteObjects(ref, product, chunks, made, stored));
      continue;
    }
    if (output.codec == ChunkCodec::kZstd) {
      CKPT_TRY_VOID(WriteCompressed(ref, product, chunks, stored));
      continue;
    }
    OpenFile& file = files_[ref.output];
    for (size_t i = 0; i < chunks.size(); ++i)
      record_.chunks.push_back({static_cast<uint32_t>(ref.output), array, chunks[i].number,
                                file.next + i * product.stride_bytes,
                                static_cast<uint32_t>(made.crcs[i].size_bytes()),
                                made.crcs[i].value()});
    writes.push_back(file.positioned->WriteAt(file.next, stored));
    file.next += stored.size();
    context_->progress.written_bytes += stored.size();
  }
  if (!made.scales.empty()) {
    for (const SliceRef& ref : product.slices) AddScales(ref, made);
  }
  return {};
}

void BundleFiles::AddScales(const SliceRef& ref, const MadeProduct& made) {
  const ChunkedOutput& output = context_->plan.outputs[ref.output];
  const ChunkedArray& array = output.arrays[output.slices[ref.slice].array];
  const uint64_t offset = made.first_scale * sizeof(BF16);
  // Bands that follow one another are one value.
  for (SideValue& side : record_.sides) {
    if (side.output != ref.output || side.array != array.scales ||
        side.file_offset + side.bytes.size() != offset)
      continue;
    side.bytes.insert(side.bytes.end(), made.scales.begin(), made.scales.end());
    return;
  }
  record_.sides.push_back({offset, made.scales, static_cast<uint32_t>(ref.output),
                           static_cast<uint32_t>(array.scales)});
}

Result<std::span<const std::byte>> BundleFiles::Pack(std::span<const std::byte> chunk) {
  CKPT_CHECK(context_->target.PackedBound(chunk.size()) <= packed_.size());
  CKPT_TRY(const uint64_t size, context_->target.Pack(chunk, packed_));
  return std::span<const std::byte>(packed_.first(size));
}

Result<void> BundleFiles::WriteCompressed(const SliceRef& ref, const Product& product,
                                          std::span<const BandChunk> chunks,
                                          std::span<const std::byte> stored) {
  OpenFile& file = files_[ref.output];
  const size_t array = context_->plan.outputs[ref.output].slices[ref.slice].array;
  for (size_t i = 0; i < chunks.size(); ++i) {
    CKPT_TRY(const std::span<const std::byte> packed,
             Pack(stored.subspan(i * product.stride_bytes, product.chunk_bytes)));
    CKPT_TRY_VOID(file.appended->Append(packed));
    record_.chunks.push_back({static_cast<uint32_t>(ref.output), static_cast<uint32_t>(array),
                              chunks[i].number, file.next, static_cast<uint32_t>(packed.size()),
                              Crc32c::Of(packed).value()});
    file.next += packed.size();
    context_->progress.written_bytes += packed.size();
  }
  return {};
}

Result<void> BundleFiles::WriteObjects(const SliceRef& ref, const Product& product,
                                       std::span<const BandChunk> chunks, const MadeProduct& made,
                                       std::span<const std::byte> stored) {
  const ChunkedOutput& output = context_->plan.outputs[ref.output];
  const size_t array = output.slices[ref.slice].array;
  for (size_t i = 0; i < chunks.size(); ++i) {
    std::span<const std::byte> bytes =
        stored.subspan(i * product.stride_bytes, made.crcs[i].size_bytes());
    if (output.codec == ChunkCodec::kZstd) {
      CKPT_TRY(bytes, Pack(bytes.first(product.chunk_bytes)));
    }
    const std::string name =
        Below(context_->folders[ref.output],
              context_->target.ChunkObjectName(output, array, chunks[i].number));
    CKPT_TRY(const std::unique_ptr<ObjectWriter> writer,
             context_->destination.Create(name, OwnObject(context_->plan)));
    CKPT_TRY_VOID(writer->Append(bytes));
    CKPT_TRY_VOID(writer->Commit());
    record_.chunks.push_back({static_cast<uint32_t>(ref.output), static_cast<uint32_t>(array),
                              chunks[i].number, 0, static_cast<uint32_t>(bytes.size()),
                              Crc32c::Of(bytes).value()});
    context_->progress.written_bytes += bytes.size();
  }
  return {};
}

Result<void> BundleFiles::Commit() {
  for (size_t o = 0; o < files_.size(); ++o) {
    OpenFile& file = files_[o];
    if (!file.positioned && !file.appended) continue;
    CKPT_TRY(const ObjectInfo made,
             file.positioned ? file.positioned->Commit() : file.appended->Commit());
    record_.files.push_back({static_cast<uint32_t>(o), made.size_bytes, made.crc32c});
  }
  record_.checks = context_->checks.Take();
  CKPT_TRY_VOID(context_->records.Put(std::move(record_)));
  context_->progress.bundles_done += 1;
  return {};
}

}  // namespace ckpt
