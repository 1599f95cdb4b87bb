#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/endian.h"

/// Pickles put down opcode by opcode. Each function gives the opcodes that leave one value on the
/// stack.
namespace ckpt::pickle {

inline std::string Text(const std::string& text) {
  std::string out = "X";
  AppendLittleEndian(out, text.size(), 4);
  return out + text;
}
inline std::string Int(int64_t value) {
  std::string out = "\x8a\x08";
  AppendLittleEndian(out, static_cast<uint64_t>(value), 8);
  return out;
}
inline std::string Ints(const std::vector<int64_t>& values) {
  std::string out = "(";
  for (const int64_t value : values) out += Int(value);
  return out + "t";
}
inline std::string GlobalOp(const std::string& module, const std::string& name) {
  return "c" + module + "\n" + name + "\n";
}
inline std::string StorageOp(const std::string& type, const std::string& key, int64_t elements,
                             const std::string& location = "cpu", const std::string& view = "") {
  return "(" + Text("storage") + type + Text(key) + Text(location) + Int(elements) + view + "tQ";
}
inline std::string FloatStorage(const std::string& key, int64_t elements) {
  return StorageOp(GlobalOp("torch", "FloatStorage"), key, elements);
}
/// `more`: arguments after hooks, such as a dtype or metadata.
inline std::string TensorOp(const std::string& storage, int64_t offset,
                            const std::vector<int64_t>& size, const std::vector<int64_t>& stride,
                            const std::string& more = "",
                            const std::string& function = "_rebuild_tensor_v2") {
  return GlobalOp("torch._utils", function) + "(" + storage + Int(offset) + Ints(size) +
         Ints(stride) + "\x89" + GlobalOp("collections", "OrderedDict") + ")R" + more + "tR";
}
/// A whole pickle of protocol 2.
inline std::string Pickle(const std::string& value) { return "\x80\x02" + value + "."; }
inline std::string Dict(const std::vector<std::pair<std::string, std::string>>& items) {
  std::string out = "}(";
  for (const auto& [key, value] : items) out += Text(key) + value;
  return out + "u";
}

}  // namespace ckpt::pickle
