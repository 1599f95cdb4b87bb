#pragma once

#include <string>
#include <vector>

#include "tests/unit/format/pickle_builder.h"
#include "tests/unit/format/zip_builder.h"

namespace ckpt {

/// A U8 or F32 tensor of a small PyTorch file: a storage of its own.
struct TorchTensor {
  std::string name;
  std::vector<int64_t> shape;
  std::string data;
  std::string type = "ByteStorage";
  int64_t element_bytes = 1;
};

inline std::vector<int64_t> DenseStrides(const std::vector<int64_t>& shape) {
  std::vector<int64_t> strides(shape.size());
  int64_t step = 1;
  for (size_t axis = shape.size(); axis-- > 0;) {
    strides[axis] = step;
    step *= shape[axis];
  }
  return strides;
}

inline std::string TorchPickle(const std::vector<TorchTensor>& tensors, bool is_legacy = false) {
  std::vector<std::pair<std::string, std::string>> items;
  for (size_t i = 0; i < tensors.size(); ++i) {
    const TorchTensor& tensor = tensors[i];
    const auto elements = static_cast<int64_t>(tensor.data.size()) / tensor.element_bytes;
    const std::string storage =
        pickle::StorageOp(pickle::GlobalOp("torch", tensor.type), std::to_string(i), elements,
                          "cpu", is_legacy ? "N" : "");
    items.emplace_back(tensor.name,
                       pickle::TensorOp(storage, 0, tensor.shape, DenseStrides(tensor.shape)));
  }
  return pickle::Pickle(pickle::Dict(items));
}

/// The file as torch.save writes it; `order`: the byteorder record, "" for none.
inline std::string TorchZip(const std::vector<TorchTensor>& tensors,
                            const std::string& order = "little") {
  ZipBuilder zip;
  zip.Add("archive/data.pkl", TorchPickle(tensors));
  if (!order.empty()) zip.Add("archive/byteorder", order);
  for (size_t i = 0; i < tensors.size(); ++i)
    zip.Add("archive/data/" + std::to_string(i), tensors[i].data);
  return zip.Finish();
}

/// The file as torch wrote it before 1.6.
inline std::string TorchLegacy(const std::vector<TorchTensor>& tensors) {
  using namespace pickle;  // NOLINT(google-build-using-namespace): a builder's words
  std::string file("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.", 15);
  file +=
      Pickle(Int(1001)) + Pickle(Dict({{"little_endian", "\x88"}})) + TorchPickle(tensors, true);
  std::string keys = "](";
  for (size_t i = 0; i < tensors.size(); ++i) keys += Text(std::to_string(i));
  file += Pickle(keys + "e");
  for (const TorchTensor& tensor : tensors) {
    AppendLittleEndian(file, tensor.data.size() / static_cast<uint64_t>(tensor.element_bytes), 8);
    file += tensor.data;
  }
  return file;
}

}  // namespace ckpt
