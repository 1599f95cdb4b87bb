#pragma once

#include <cstdint>
#include <set>
#include <string>

#include "base/result.h"
#include "model/account.h"
#include "model/family.h"
#include "source/catalog.h"

namespace ckpt {

/// The layers to look for in a source: those below the configuration's number "L" that its names
/// show. Layers that the source lacks altogether, or has beyond that number, go to the account
/// here, once, and not once a tensor. `config_name` says who told the number. kBadInput for an
/// absurd number that no names bound.
Result<std::set<uint64_t>> FindLayers(const Family& family, const std::string& scheme,
                                      const Dims& dims, const Catalog& catalog,
                                      const std::string& config_name, Account& account);

/// True for a known name of a layer beyond the configuration's number.
bool IsBeyondLayers(const Family& family, const std::string& scheme, const Dims& dims,
                    const std::string& name);

}  // namespace ckpt
