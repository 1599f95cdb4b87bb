#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

/// Words for what a pickle may not say. For pickle/ only.
namespace ckpt::pickle {

/// An error of the pickle at a byte of its file.
tl::unexpected<Error> Damaged(uint64_t byte, std::string what,
                              std::string_view remedy = "the file is damaged: fetch it again");

/// An error of what the pickle holds: it is whole, but no plain state dict.
tl::unexpected<Error> NotPlain(uint64_t byte, std::string what);

/// A name outside the table, with what is known of it (a whole module, numpy values, training
/// arguments...).
tl::unexpected<Error> RefuseGlobal(uint64_t byte, std::string_view pickle_name,
                                   std::string_view module, std::string_view name);

}  // namespace ckpt::pickle
