#include "plan/digest.h"

#include <fmt/format.h>

#include "base/message_digest.h"

namespace ckpt {
namespace {

void Add(Sha256& sha, const Bundle& bundle) {
  sha.Update(fmt::format("bundle {} {}\n", bundle.number, ToString(bundle.segment)));
  for (const RowSpan& span : bundle.spans)
    sha.Update(fmt::format(" span {} {} {}\n", span.array, span.row_begin, span.row_end));
}

// What tells one version of an object from another wherever it lies. A file's generation names its
// inode, which a copy on another machine does not have: its modification time must do.
std::string VersionOf(const Uri& root, const ObjectInfo& object) {
  return root.scheme() == "file" ? std::to_string(object.modified_ns) : object.generation.value;
}

void AddSource(Sha256& sha, const PlanBase& plan) {
  sha.Update(fmt::format("family {} {}\n", plan.model.source_scheme, plan.catalog.format));
  for (const ObjectInfo& object : plan.catalog.objects)
    sha.Update(fmt::format("object {} {} {} {}\n", object.name.size(), object.name,
                           object.size_bytes, VersionOf(plan.catalog.root, object)));
}

void AddValues(Sha256& sha, const ValueProgram& program) {
  for (const ValueStep& step : program)
    sha.Update(
        fmt::format(" {} {} {}", static_cast<int>(step.kind), Name(step.type), step.operand));
}

}  // namespace

std::string LayoutDigest(const Plan& plan) {
  Sha256 sha;
  sha.Update(fmt::format("layout {}\ntarget {}\noutput {}\n", kLayoutVersion, plan.target,
                         plan.output.name));
  for (const FileSpec& file : plan.output.files) {
    sha.Update(fmt::format("file {} {}\n", file.name, file.size_bytes));
    for (const size_t i : file.arrays) {
      const ArraySpec& array = plan.output.arrays[i];
      // Sizes of names come first, so that no name can imitate another line.
      sha.Update(fmt::format("array {} {} {} {} {} {}\n", array.name.size(), array.name,
                             Name(array.dtype), ToString(array.shape),
                             static_cast<int>(array.encoding), array.bits));
      if (array.encoding == Encoding::kQuantGroups)
        sha.Update(fmt::format("group {} {} {} {} {} {} {}\n", array.group.is_float,
                               array.group.bits, array.group.is_symmetric,
                               array.group.is_quotient_rounded, array.group.rows,
                               array.group.columns, array.group.is_packed));
    }
  }
  if (plan.output.marker)
    sha.Update(fmt::format("marker {} {}\n", plan.output.marker->name,
                           Sha256Hex(*plan.output.marker->text)));
  for (const CommitRange& range : plan.commits)
    sha.Update(fmt::format("commit {} {}\n", range.segment.begin, range.segment.end));
  Add(sha, plan.front);
  for (const Bundle& bundle : plan.bundles) Add(sha, bundle);
  return sha.Finish();
}

std::string LayoutDigest(const ChunkedPlan& plan) {
  Sha256 sha;
  sha.Update(fmt::format("layout {}\ntarget {}\n", kLayoutVersion, plan.target));
  for (const ChunkedOutput& output : plan.outputs) {
    sha.Update(fmt::format("output {} codec {} apart {}\n", output.name,
                           static_cast<int>(output.codec), output.is_object_per_chunk));
    for (const ChunkedArray& array : output.arrays)
      sha.Update(fmt::format("array {} {} {} {} {} {} {}\n", array.name.size(), array.name,
                             Name(array.dtype), array.quant ? static_cast<int>(*array.quant) : -1,
                             ToString(array.shape), ToString(Shape{array.chunk}),
                             static_cast<int>(array.making)));
    for (const ChunkedSlice& slice : output.slices)
      sha.Update(fmt::format("slice {} {} {}\n", slice.role, slice.array, slice.layer_index));
    for (const Placeholder& placeholder : output.placeholders)
      sha.Update(fmt::format("empty {} {} {}\n", JoinPath(placeholder.path).size(),
                             JoinPath(placeholder.path), placeholder.kind));
  }
  for (const ChunkedBundle& bundle : plan.bundles) {
    sha.Update(fmt::format("bundle {}\n", bundle.number));
    for (const BandSpan& span : bundle.spans)
      sha.Update(fmt::format(" span {} {} {}\n", span.work, span.band_begin, span.band_end));
  }
  return sha.Finish();
}

std::string RunDigest(const Plan& plan) {
  Sha256 sha;
  sha.Update(fmt::format("run {}\nquantize {}\npreserve {}\n", plan.layout_digest,
                         plan.settings.quantize, plan.settings.is_dtype_preserved));
  for (const ArrayPlan& array : plan.arrays) AddValues(sha, array.value);
  AddSource(sha, plan);
  return sha.Finish();
}

std::string RunDigest(const ChunkedPlan& plan) {
  Sha256 sha;
  sha.Update(fmt::format("run {}\n", plan.layout_digest));
  // What the arrays' names and shapes do not show: the arithmetic and the order of elements.
  for (const ChunkedOutput& output : plan.outputs) {
    for (const ChunkedSlice& slice : output.slices) {
      sha.Update(fmt::format("slice {}", slice.view.offset));
      for (const uint64_t stride : slice.view.strides) sha.Update(fmt::format(" {}", stride));
      AddValues(sha, slice.value);
      sha.Update("\n");
    }
  }
  AddSource(sha, plan);
  return sha.Finish();
}

}  // namespace ckpt
