#pragma once

#include <memory>
#include <string>

#include "store/gs/client.h"
#include "store/store.h"

namespace ckpt::gs {

/// The object `object`, front to back: one request where it is small, else a resumable upload. The
/// returned ObjectInfo calls it `name`. Must not outlive `client`.
std::unique_ptr<ObjectWriter> MakeObjectWriter(Client& client, std::string object, std::string name,
                                               bool is_create_only);

/// What Store gives back of an object.
ObjectInfo InfoOf(const ObjectMeta& meta, std::string name);

}  // namespace ckpt::gs
