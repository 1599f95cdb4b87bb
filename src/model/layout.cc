#include "model/layout.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/checked.h"

namespace ckpt {
namespace {

tl::unexpected<Error> Wrong(std::string_view text, std::string what) {
  return Fail(Code::kBadInput, fmt::format("layout \"{}\": {}", text, what),
              "write one term per tensor axis: e, (h p t), [l]");
}

std::string_view Trim(std::string_view text) {
  while (text.starts_with(' ')) text.remove_prefix(1);
  while (text.ends_with(' ')) text.remove_suffix(1);
  return text;
}

bool IsAxisName(std::string_view name) {
  const auto is_letter = [](char c) { return c >= 'a' && c <= 'z'; };
  const auto is_rest = [&](char c) { return is_letter(c) || (c >= '0' && c <= '9') || c == '_'; };
  return !name.empty() && is_letter(name[0]) && std::all_of(name.begin(), name.end(), is_rest);
}

std::vector<std::string_view> Split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (;;) {
    const size_t at = text.find(separator);
    parts.push_back(Trim(text.substr(0, at)));
    if (at == std::string_view::npos) return parts;
    text.remove_prefix(at + 1);
  }
}

/// "h p t" -> three names.
Result<std::vector<std::string>> AxisNames(std::string_view text, std::string_view layout) {
  std::vector<std::string> names;
  for (const std::string_view name : Split(text, ' ')) {
    if (name.empty()) continue;
    if (!IsAxisName(name)) return Wrong(layout, fmt::format("\"{}\" is no axis name", name));
    names.emplace_back(name);
  }
  if (names.empty()) return Wrong(layout, "a term without axes");
  return names;
}

/// One entry of a selection, or the inside of an index term: "l", "1 of 2", "0 : n of m". `whole`
/// by itself: nothing.
Result<Layout::Term> ParseSelection(std::string_view text, std::string_view layout) {
  Layout::Term term;
  std::string_view what = text;
  const size_t of = text.find(" of ");
  if (of != std::string_view::npos) {
    CKPT_TRY(term.whole, Expr::Parse(Trim(text.substr(of + 4))));
    what = text.substr(0, of);
  } else if (Trim(text) == "l") {
    CKPT_TRY(term.whole, Expr::Parse("L"));
  } else {
    return Wrong(layout, fmt::format("selection [{}] does not tell the axis' extent: write "
                                     "\"[{} of EXTENT]\"",
                                     text, text));
  }
  const size_t colon = what.find(':');
  CKPT_TRY(term.begin, Expr::Parse(Trim(what.substr(0, colon))));
  if (colon != std::string_view::npos) {
    CKPT_TRY(term.end, Expr::Parse(Trim(what.substr(colon + 1))));
  }
  return term;
}

/// The next term of the layout, off the front of `rest`.
Result<Layout::Term> TakeTerm(std::string_view& rest, std::string_view layout) {
  Layout::Term term;
  const char open = rest[0];
  const char close = open == '(' ? ')' : ']';
  if (open != '(' && open != '[') {
    const size_t size = std::min(rest.find_first_of(" (["), rest.size());
    CKPT_TRY(term.axes, AxisNames(rest.substr(0, size), layout));
    rest.remove_prefix(size);
    return term;
  }
  const size_t end = rest.find(close);
  if (end == std::string_view::npos) {
    return Wrong(layout, fmt::format("{} without {}", open, close));
  }
  const std::string_view inside = rest.substr(1, end - 1);
  rest.remove_prefix(end + 1);
  if (open == '(') {
    CKPT_TRY(term.axes, AxisNames(inside, layout));
    return term;
  }
  CKPT_TRY(term, ParseSelection(inside, layout));
  if (term.end) return Wrong(layout, "an interval belongs on the name, not in the layout");
  return term;
}

/// Puts the name's selection onto the terms of the leading tensor axes.
Result<void> ApplySelection(std::string_view selection, Layout& layout) {
  std::vector<Layout::Term> terms;
  size_t next = 0;  // term of the layout
  for (const std::string_view entry : Split(selection, ',')) {
    const bool takes_all = entry == ":";
    Layout::Term selected;
    if (!takes_all) {
      CKPT_TRY(selected, ParseSelection(entry, layout.text));
    }
    if (!takes_all && !selected.end) {
      terms.push_back(std::move(selected));  // an index: an axis of the tensor, not of the layout
      continue;
    }
    if (next == layout.terms.size() || layout.terms[next].axes.empty()) {
      return Wrong(layout.text, fmt::format("selection [{}] has no term to apply to", selection));
    }
    selected.axes = layout.terms[next++].axes;
    terms.push_back(std::move(selected));
  }
  terms.insert(terms.end(), layout.terms.begin() + static_cast<std::ptrdiff_t>(next),
               layout.terms.end());
  layout.terms = std::move(terms);
  return {};
}

/// Where the selected part of one tensor axis begins, and the whole axis' extent.
struct TermExtent {
  uint64_t whole = 1;
  uint64_t begin = 0;
};
Result<TermExtent> ExtentOf(const Layout::Term& term, uint64_t selected, const Scope& scope,
                            std::string_view layout) {
  TermExtent extent;
  if (term.resized) {
    CKPT_TRY(extent.whole, term.resized->EvaluateUnsigned(scope));
    if (extent.whole == 0) return Wrong(layout, "an axis is resized to nothing");
    return extent;
  }
  if (!term.whole || !term.begin) return TermExtent{selected, 0};
  CKPT_TRY(extent.whole, term.whole->EvaluateUnsigned(scope));
  CKPT_TRY(extent.begin, term.begin->EvaluateUnsigned(scope));
  if (term.end) {
    CKPT_TRY(const uint64_t end, term.end->EvaluateUnsigned(scope));
    if (end < extent.begin || end - extent.begin != selected) {
      return Wrong(layout, fmt::format("the interval [{} : {}] does not hold the {} elements of "
                                       "its axes",
                                       extent.begin, end, selected));
    }
  }
  if (extent.begin > extent.whole || selected > extent.whole - extent.begin) {
    return Wrong(layout, fmt::format("[{} : {}] leaves the tensor's axis of {}", extent.begin,
                                     extent.begin + selected, extent.whole));
  }
  return extent;
}

}  // namespace

bool Layout::Term::IsLayer() const {
  if (!axes.empty() || !begin) return false;
  const std::vector<std::string> names = begin->Names();
  return std::find(names.begin(), names.end(), "l") != names.end();
}

std::optional<size_t> Layout::LayerTerm() const {
  const auto found =
      std::find_if(terms.begin(), terms.end(), [](const Term& term) { return term.IsLayer(); });
  if (found == terms.end()) return std::nullopt;
  return static_cast<size_t>(found - terms.begin());
}

Layout Layout::WithoutLayers() const {
  Layout layout = *this;
  std::erase_if(layout.terms, [](const Term& term) { return term.IsLayer(); });
  return layout;
}

std::vector<std::string> Layout::Axes() const {
  std::vector<std::string> axes;
  for (const Term& term : terms) axes.insert(axes.end(), term.axes.begin(), term.axes.end());
  return axes;
}

Result<Layout> ParseLayout(std::string_view text, std::string_view selection) {
  Layout layout;
  layout.text = std::string(text);
  std::string_view rest = Trim(text);
  while (!rest.empty()) {
    CKPT_TRY(Layout::Term term, TakeTerm(rest, text));
    layout.terms.push_back(std::move(term));
    rest = Trim(rest);
  }
  std::set<std::string> seen;
  for (const std::string& axis : layout.Axes()) {
    if (!seen.insert(axis).second) return Wrong(text, fmt::format("axis {} is used twice", axis));
  }
  if (!selection.empty()) {
    CKPT_TRY_VOID(ApplySelection(selection, layout));
  }
  return layout;
}

Result<void> Resize(Layout& layout, std::string_view axis, const Expr& extent) {
  for (Layout::Term& term : layout.terms) {
    if (std::find(term.axes.begin(), term.axes.end(), axis) == term.axes.end()) continue;
    if (term.axes.size() > 1 || term.whole) {
      return Wrong(layout.text,
                   fmt::format("axis {} is resized, so it must stand alone and without "
                               "a selection",
                               axis));
    }
    term.resized = extent;
    return {};
  }
  return Wrong(layout.text, fmt::format("there is no axis {} to resize", axis));
}

Result<View> BuildView(const Layout& layout, std::span<const Axis> axes, const Scope& scope) {
  View view;
  for (const Axis& axis : axes) view.extents.push_back(axis.extent);
  view.strides.resize(axes.size());
  view.tensor.extents.resize(layout.terms.size());
  const auto too_large = [&] { return Wrong(layout.text, "the tensor has too many elements"); };
  uint64_t stride = 1;  // of the present tensor axis; from the innermost outwards
  size_t placed = 0;
  for (size_t t = layout.terms.size(); t-- > 0;) {
    const Layout::Term& term = layout.terms[t];
    uint64_t selected = 1;
    uint64_t axis_stride = stride;
    for (size_t a = term.axes.size(); a-- > 0;) {
      const size_t axis = AxisNumber(axes, term.axes[a]);
      if (axis == axes.size()) {
        return Wrong(layout.text, fmt::format("the role has no axis {}", term.axes[a]));
      }
      view.strides[axis] = axis_stride;
      ++placed;
      const std::optional<uint64_t> joined = CheckedMul(selected, axes[axis].extent);
      const std::optional<uint64_t> next = CheckedMul(axis_stride, axes[axis].extent);
      if (!joined || !next) return too_large();
      selected = *joined;
      axis_stride = *next;
    }
    CKPT_TRY(const TermExtent extent, ExtentOf(term, selected, scope, layout.text));
    view.tensor.extents[t] = extent.whole;
    if (term.resized) {
      view.extents[AxisNumber(axes, term.axes[0])] = std::min(selected, extent.whole);
    }
    const std::optional<uint64_t> begin = CheckedMul(extent.begin, stride);
    const std::optional<uint64_t> offset = begin ? CheckedAdd(view.offset, *begin) : begin;
    const std::optional<uint64_t> next = CheckedMul(stride, extent.whole);
    if (!offset || !next) return too_large();
    view.offset = *offset;
    stride = *next;
  }
  if (placed != axes.size()) return Wrong(layout.text, "an axis of the role has no place in it");
  return view;
}

}  // namespace ckpt
