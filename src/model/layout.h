#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "model/expr.h"
#include "model/view.h"

namespace ckpt {

/// How a role lies in a tensor, in einops notation over the role's axes: one term per tensor axis,
/// outermost first.
///   e                 one role axis
///   (h p t)           several, joined; the last runs fastest
///   [l]  [l / 6 of L / 6]   one index of an axis along which tensors are stacked; "[l]" is short
///   for "[l of L]"
/// A selection on the source name picks from the leading tensor axes, one entry per axis:
///   qkv.weight[0 : h*d of (h + 2*k)*d]   an interval of an axis; the layout's term there names
///   what lies in it kv_einsum.w[1 of 2]                  an index; the layout has no term for this
///   axis w[:, 1 of 2]                         ":" takes the whole axis
/// "of" gives the extent of the tensor's axis, which no role axis tells; so shapes are known before
/// any file is read, and the layout can be written as well as read.
/// A resized axis has another extent in the tensor than in the role: the last elements are cut off,
/// or zeros follow them. It stands alone in its term, without a selection.
struct Layout {
  struct Term {
    /// An index that follows the layer: the axis along which layers are stacked.
    bool IsLayer() const;

    std::vector<std::string> axes;  ///< outermost first; empty for an index
    std::optional<Expr> begin;      ///< the index, or where the interval begins
    std::optional<Expr> end;        ///< the interval's end
    std::optional<Expr> whole;      ///< extent of the tensor's axis under a selection
    std::optional<Expr> resized;    ///< extent of the tensor's axis where it is not the role's
  };
  std::string text;
  std::vector<Term> terms;

  std::vector<std::string> Axes() const;    ///< in order of appearance
  std::optional<size_t> LayerTerm() const;  ///< number of the first term of stacked layers
  Layout WithoutLayers() const;             ///< the same for one layer by itself
};

/// `selection` is the text between the brackets of the name, or "".
/// kBadInput for a syntax error, an axis used twice, or a selection of more axes than there are.
Result<Layout> ParseLayout(std::string_view text, std::string_view selection = {});

/// Gives `axis` the extent `extent` in the tensor. kBadInput for an axis that does not stand alone.
Result<void> Resize(Layout& layout, std::string_view axis, const Expr& extent);

/// The view of a role with these axes (any order; the layout's set). Extents come with `axes`;
/// names in expressions from `scope`. A resized axis has the smaller of both extents in
/// View::extents. kBadInput where a number overflows, or a selection does not fit.
Result<View> BuildView(const Layout& layout, std::span<const Axis> axes, const Scope& scope);

}  // namespace ckpt
