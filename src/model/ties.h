#pragma once

#include <string>

#include "model/family.h"
#include "source/catalog.h"

namespace ckpt {

// What a source says of a tie (an output head that is the embedding). `config` may be nullptr.

/// The key of the configuration's word on the tie; nullptr where the table itself decides for this
/// kind.
const std::string* TieKey(const Tie& tie, const SourceConfig* config);
/// True if the configuration's key says tied.
bool ConfigTies(const Tie& tie, const SourceConfig* config);
/// Whether an absent tensor means tied: by the table for this kind of configuration, or by the key.
bool AbsentMeansTied(const Tie& tie, const SourceConfig* config);

}  // namespace ckpt
