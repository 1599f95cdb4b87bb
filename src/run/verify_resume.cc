#include "run/verify_resume.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <mutex>
#include <optional>

#include "base/buffer.h"
#include "base/text.h"
#include "base/units.h"
#include "plan/chunked_plan.h"

namespace ckpt {
namespace {

constexpr uint64_t kStepBytes = kMiB;

// CRC-32C of a range of an object, `sides` in place of what lies there.
// `base`: where the object begins among the offsets of `range` and `sides`.
Result<Crc32c> CrcOf(ObjectReader& reader, uint64_t base, ByteRange range,
                     std::span<const SideValue> sides, Buffer& buffer) {
  Crc32c crc;
  for (uint64_t at = range.begin; at < range.end; at += kStepBytes) {
    const uint64_t end = std::min(range.end, at + kStepBytes);
    const std::span<std::byte> bytes = buffer.span(0, end - at);
    CKPT_TRY_VOID(reader.Read({at - base, end - base}, bytes));
    for (const SideValue& side : sides) {
      const uint64_t first = std::max(at, side.file_offset);
      const uint64_t last = std::min<uint64_t>(end, side.file_offset + side.bytes.size());
      if (first < last)
        std::memcpy(bytes.data() + (first - at), side.bytes.data() + (first - side.file_offset),
                    last - first);
    }
    crc.Append(bytes);
  }
  return crc;
}

// An unfinished file, or one that is whole by now; null where a store's cannot be read.
Result<std::unique_ptr<ObjectReader>> OpenBegun(Store& destination, const FileSpec& file,
                                                std::string_view session) {
  Result<std::unique_ptr<ObjectReader>> begun = destination.OpenUnfinished(file.name, session);
  if (begun || begun.error().code != Code::kNotFound) return begun;
  CKPT_TRY(const ObjectInfo info, destination.Stat(file.name));
  return destination.Open(info);
}

// `readers`: by file; what cannot be read is taken on trust.
Result<bool> IsWhole(const Plan& plan, const BundleRecord& record,
                     std::span<const std::unique_ptr<ObjectReader>> readers,
                     std::optional<Buffer>& buffer) {
  if (record.number == 0 || record.number > plan.bundles.size()) return false;
  const Bundle& bundle = plan.bundles[record.number - 1];
  const std::unique_ptr<ObjectReader>& reader = readers[bundle.file];
  if (!reader) return true;
  const ByteRange& segment = bundle.segment;
  const uint64_t base = plan.output.files[bundle.file].base;
  for (const ArrayPart& part : record.parts) {
    if (part.array >= plan.arrays.size()) return false;
    const uint64_t begin = plan.arrays[part.array].offset + part.offset_bytes;
    const ByteRange range{begin, begin + part.crc.size_bytes()};
    // Scales lie elsewhere: the record itself holds them.
    if (range.begin < segment.begin || range.end > segment.end) continue;
    CKPT_TRY(const Crc32c found, CrcOf(*reader, base, range, record.sides, *buffer));
    if (!(found == part.crc)) return false;
  }
  return true;
}

// What lies in the folders of a chunked run, by name.
using Objects = std::map<std::string, ObjectInfo, std::less<>>;

bool IsThere(const Objects& objects, const std::string& name, uint64_t size_bytes,
             const std::optional<Crc32c>& crc) {
  const auto found = objects.find(name);
  if (found == objects.end() || found->second.size_bytes != size_bytes) return false;
  return !crc || !found->second.crc32c || *crc == *found->second.crc32c;
}

class ChunkedLook {
 public:
  ChunkedLook(const ChunkedPlan& plan, const ChunkedTarget& target, Store& destination,
              std::span<const std::string> folders)
      : plan_(plan), target_(target), destination_(destination), folders_(folders) {}

  Result<void> List() {
    for (const std::string& folder : folders_) {
      CKPT_TRY(std::vector<ObjectInfo> objects, destination_.List(folder));
      for (ObjectInfo& object : objects) {
        std::string name = object.name;
        objects_.emplace(std::move(name), std::move(object));
      }
    }
    return {};
  }

  bool HasObjects(const BundleRecord& record) const {
    if (record.number > plan_.bundles.size()) return false;
    for (const DataFile& file : record.files) {
      if (file.output >= folders_.size() ||
          !IsThere(objects_, FileName(file.output, record.number), file.size_bytes, file.crc32c))
        return false;
    }
    for (const ChunkPart& chunk : record.chunks) {
      if (chunk.output >= folders_.size() ||
          chunk.array >= plan_.outputs[chunk.output].arrays.size())
        return false;
      if (!plan_.outputs[chunk.output].is_object_per_chunk) continue;
      if (!IsThere(objects_, ChunkName(chunk), chunk.length, Crc32c(chunk.crc32c, chunk.length)))
        return false;
    }
    return true;
  }

  // Reads every chunk. HasObjects() was true.
  Result<bool> HasBytes(const BundleRecord& record, Buffer& buffer) const {
    std::map<std::string, std::unique_ptr<ObjectReader>> readers;
    for (const ChunkPart& chunk : record.chunks) {
      const std::string name = plan_.outputs[chunk.output].is_object_per_chunk
                                   ? ChunkName(chunk)
                                   : FileName(chunk.output, record.number);
      std::unique_ptr<ObjectReader>& reader = readers[name];
      if (!reader) {
        const auto info = objects_.find(name);
        if (info == objects_.end()) return false;
        CKPT_TRY(reader, destination_.Open(info->second));
      }
      CKPT_TRY(const Crc32c found,
               CrcOf(*reader, 0, {chunk.offset, chunk.offset + chunk.length}, {}, buffer));
      if (found.value() != chunk.crc32c) return false;
      if (plan_.outputs[chunk.output].is_object_per_chunk) readers.erase(name);
    }
    return true;
  }

 private:
  std::string FileName(size_t output, uint32_t bundle) const {
    return Below(folders_[output], target_.DataFileName(plan_, output, bundle));
  }
  std::string ChunkName(const ChunkPart& chunk) const {
    return Below(folders_[chunk.output],
                 target_.ChunkObjectName(plan_.outputs[chunk.output], chunk.array, chunk.chunk));
  }

  const ChunkedPlan& plan_;
  const ChunkedTarget& target_;
  Store& destination_;
  std::span<const std::string> folders_;
  Objects objects_;
};

Result<Buffer> StepBuffer(MemoryBudget& budget) {
  CKPT_TRY(Grant grant, budget.Acquire(kStepBytes));
  return Buffer::Allocate(std::move(grant));
}

}  // namespace

Result<void> DropDamaged(const Plan& plan, Store& destination, Journal& journal,
                         std::span<const std::string> sessions, bool is_reading,
                         MemoryBudget& budget) {
  CKPT_TRY(std::vector<uint32_t> numbers, journal.List());
  std::erase(numbers, 0U);
  if (numbers.empty()) return {};
  std::vector<std::unique_ptr<ObjectReader>> readers(plan.output.files.size());
  std::optional<Buffer> buffer;
  if (is_reading) {
    for (size_t i = 0; i < readers.size(); ++i) {
      CKPT_TRY(readers[i], OpenBegun(destination, plan.output.files[i], sessions[i]));
    }
    CKPT_TRY(buffer, StepBuffer(budget));
  }
  std::vector<uint32_t> damaged;
  const auto take = [&](const BundleRecord& record) -> Result<void> {
    CKPT_TRY(const bool is_whole, IsWhole(plan, record, readers, buffer));
    if (!is_whole) damaged.push_back(record.number);
    return {};
  };
  CKPT_TRY_VOID(journal.ForEach(numbers, take, &damaged));
  return journal.Drop(damaged);
}

Result<void> DropLost(const ChunkedPlan& plan, const ChunkedTarget& target, Store& destination,
                      std::span<const std::string> folders, Journal& journal, bool is_reading,
                      MemoryBudget& budget) {
  CKPT_TRY(std::vector<uint32_t> numbers, journal.List());
  std::erase(numbers, 0U);
  if (numbers.empty()) return {};
  ChunkedLook look(plan, target, destination, folders);
  CKPT_TRY_VOID(look.List());
  std::optional<Buffer> buffer;
  if (is_reading) {
    CKPT_TRY(buffer, StepBuffer(budget));
  }
  std::vector<uint32_t> lost;
  const auto take = [&](const BundleRecord& record) -> Result<void> {
    bool is_whole = look.HasObjects(record);
    if (is_whole && buffer) {
      CKPT_TRY(is_whole, look.HasBytes(record, *buffer));
    }
    if (!is_whole) lost.push_back(record.number);
    return {};
  };
  CKPT_TRY_VOID(journal.ForEach(numbers, take, &lost));
  return journal.Drop(lost);
}

}  // namespace ckpt
