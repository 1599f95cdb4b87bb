#pragma once

#include <map>
#include <string>

#include "base/result.h"
#include "model/family.h"
#include "source/catalog.h"

namespace ckpt {

/// All dimensions of one model by its family's rules. `config` may be nullptr (a source without
/// one), and so may `served` (a model without a name: dimensions "as served" are those of the
/// source). Errors: kBadInput, all at once: keys that are missing or no positive integer, divisions
/// that leave a remainder.
Result<Dims> ReadDims(const Family& family, const std::string& scheme, const Catalog& catalog,
                      const SourceConfig* config, const ServedModel* served);

/// The extent of `dim` that a server of the model expects, for a source that has `extent`.
uint64_t ServedExtent(const ServedModel& model, const std::string& dim, uint64_t extent);

/// All facts that the source tells, with the rules' defaults for the rest.
std::map<std::string, std::string> ReadFacts(const Family& family, const Catalog& catalog,
                                             const SourceConfig* config);

}  // namespace ckpt
