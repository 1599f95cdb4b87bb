#include "plan/digest.h"

#include <fmt/format.h>

#include "base/sha256.h"

namespace ckpt {
namespace {

void Add(Sha256& sha, const Bundle& bundle) {
  sha.Update(fmt::format("bundle {} {}\n", bundle.number, ToString(bundle.segment)));
  for (const RowSpan& span : bundle.spans)
    sha.Update(fmt::format(" span {} {} {}\n", span.array, span.row_begin, span.row_end));
}

}  // namespace

std::string LayoutDigest(const Plan& plan) {
  Sha256 sha;
  sha.Update(fmt::format("layout {}\ntarget {}\noutput {}\nfile {} {} {}\n", kLayoutVersion,
                         plan.target, plan.output.name, plan.output.file.name,
                         plan.output.file.size_bytes, plan.head_end));
  for (const size_t i : plan.output.file.arrays) {
    const ArraySpec& array = plan.output.arrays[i];
    // Sizes of names come first, so that no name can imitate another line.
    sha.Update(fmt::format("array {} {} {} {} {} {}\n", array.name.size(), array.name,
                           Name(array.dtype), ToString(array.shape),
                           static_cast<int>(array.encoding), array.bits));
  }
  Add(sha, plan.front);
  for (const Bundle& bundle : plan.bundles) Add(sha, bundle);
  return sha.Finish();
}

std::string RunDigest(const Plan& plan) {
  Sha256 sha;
  sha.Update(fmt::format("run {}\nquantize {}\npreserve {}\nfamily {} {}\n", plan.layout_digest,
                         plan.settings.quantize, plan.settings.is_dtype_preserved,
                         plan.model.source_scheme, plan.catalog.format));
  for (const ObjectInfo& object : plan.catalog.objects)
    sha.Update(fmt::format("object {} {} {} {}\n", object.name.size(), object.name,
                           object.size_bytes, object.generation.value));
  return sha.Finish();
}

}  // namespace ckpt
