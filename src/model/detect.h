#pragma once

#include <memory>
#include <span>
#include <string>

#include "base/result.h"
#include "model/family.h"
#include "source/catalog.h"

namespace ckpt {

/// The family of a source. `forced` names it, or is "": then the first configuration key that the
/// [detect] tables know decides ("architectures"); a source without such a key is judged by its
/// tensors' names. Errors: kUsage for an unknown `forced`; kBadInput where nothing fits, or several
/// fit equally.
Result<std::shared_ptr<const Family>> DetectFamily(
    std::span<const std::shared_ptr<const Family>> families, const Catalog& catalog,
    const std::string& forced);

/// The scheme that knows most of the source's tensor names; of equals, the first of the table.
/// kBadInput where none knows any.
Result<std::string> DetectScheme(const Family& family, const Catalog& catalog);

}  // namespace ckpt
