#pragma once

#include <cstddef>
#include <span>

#include "model/view.h"
#include "plan/tensor_box.h"

namespace ckpt {

/// Lays a dense box of a source tensor into a dense box of its role, whose axes follow one another
/// in `order`, outermost first. `source_axes`: SourceAxes(view). `view`: of the role in its tensor.
void LayBox(const View& view, std::span<const size_t> source_axes, const Box& box,
            const RoleBox& role_box, std::span<const size_t> order, uint32_t element_bytes,
            const std::byte* from, std::byte* to);

}  // namespace ckpt
