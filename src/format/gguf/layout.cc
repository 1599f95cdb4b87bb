#include "format/gguf/layout.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "base/checked.h"
#include "base/text.h"

namespace ckpt::gguf {
namespace {

Result<void> Refuse(std::string what,
                    std::string_view remedy = "the file is damaged: fetch it again") {
  return Fail(Code::kBadInput, std::move(what), std::string(remedy));
}

// `before`: the one that lies before it, placed.
Result<void> Place(Tensor& tensor, const Tensor* before, const Header& header,
                   uint64_t file_bytes) {
  const auto begin = CheckedAdd(header.data_begin, tensor.data.begin);
  const auto end = CheckedAdd(header.data_begin, tensor.data.end);
  if (!begin || !end || *end > file_bytes)
    return Refuse(
        fmt::format(
            "truncated: its bytes [{}, {}) of the data, which begins at byte {}, end beyond the "
            "file's {}",
            tensor.data.begin, tensor.data.end, header.data_begin, file_bytes),
        "the download is incomplete: fetch the file again");
  if (before != nullptr && before->data.end > *begin)
    return Refuse(fmt::format("overlap: its bytes [{}, {}) begin before tensor \"{}\" ends at {}",
                              *begin, *end, Excerpt(before->name), before->data.end));
  tensor.data = {*begin, *end};
  return {};
}

}  // namespace

Result<void> PlaceTensors(Header& header, uint64_t file_bytes) {
  std::vector<Tensor*> order;
  order.reserve(header.tensors.size());
  for (Tensor& tensor : header.tensors) order.push_back(&tensor);

  std::sort(order.begin(), order.end(),
            [](const Tensor* a, const Tensor* b) { return a->name < b->name; });
  const auto twice =
      std::adjacent_find(order.begin(), order.end(),
                         [](const Tensor* a, const Tensor* b) { return a->name == b->name; });
  if (twice != order.end())
    return Refuse("this tensor appears twice").map_error(Where("tensor", Excerpt((*twice)->name)));

  std::sort(order.begin(), order.end(), [](const Tensor* a, const Tensor* b) {
    return a->data.begin != b->data.begin ? a->data.begin < b->data.begin
                                          : a->data.end < b->data.end;
  });
  const Tensor* before = nullptr;
  for (Tensor* tensor : order) {
    auto placed = Place(*tensor, before, header, file_bytes);
    if (!placed) return std::move(placed).map_error(Where("tensor", Excerpt(tensor->name)));
    before = tensor;
  }
  return {};
}

}  // namespace ckpt::gguf
