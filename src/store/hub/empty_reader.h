#pragma once

#include <memory>

#include "store/store.h"

namespace ckpt {

/// An object without bytes: no server has a range of it to give.
std::unique_ptr<ObjectReader> OpenEmptyObject(ObjectInfo info, Uri place);

}  // namespace ckpt
