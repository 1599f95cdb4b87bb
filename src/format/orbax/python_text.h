#pragma once

#include <span>
#include <string>
#include <string_view>

#include "format/orbax/tree.h"

/// Texts as Python writes them. For format/orbax only.
namespace ckpt::python {

/// str() of the tuple of a path's names: "('a', 'b')", "('a',)".
std::string TupleRepr(std::span<const OrbaxKey> path);

/// `text` (UTF-8) in quotes, as json.dumps does by default: all but printable ASCII escaped.
void AppendJsonString(std::string& json, std::string_view text);

}  // namespace ckpt::python
