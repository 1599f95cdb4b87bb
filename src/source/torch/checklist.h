#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "store/store.h"

namespace ckpt {

/// Meta's checklist.chk among `here`: file name -> MD5 in lower case hexadecimal ("MD5  NAME" a
/// line); empty where there is none.
Result<std::map<std::string, std::string>> ReadChecklist(Store& store,
                                                         std::span<const ObjectInfo> here);

/// Holds the small files that it names (params.json, tokenizer.model) to their sums: kBadInput with
/// the file. The shards' sums would need each of them read from front to back: what is returned
/// says, for Catalog::unverified, that they are not made, and what holds instead. Empty where there
/// is no list.
Result<std::vector<std::string>> HoldToChecklist(Store& store, std::span<const ObjectInfo> here);

}  // namespace ckpt
