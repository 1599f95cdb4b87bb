#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/crc32.h"
#include "base/endian.h"

namespace ckpt {

/// Puts a zip archive together record by record, as torch.save does, with knobs for what it never
/// does.
class ZipBuilder {
 public:
  struct Options {
    uint16_t method = 0;
    uint16_t flags = 0x0808;
    std::string local_name = {};  ///< another one in the local header
    uint32_t padding = 20;        ///< bytes of the local header's extra field
    int64_t size = -1;            ///< what the directory says; -1: the truth
    int64_t offset = -1;
    bool is_zip64 = false;  ///< sizes and offset in the extra field
    bool lacks_zip64 = false;
  };

  ZipBuilder& Add(const std::string& name, const std::string& data) {
    return Add(name, data, Options());
  }
  ZipBuilder& Add(const std::string& name, const std::string& data, const Options& options) {
    const uint64_t offset =
        options.offset < 0 ? bytes_.size() : static_cast<uint64_t>(options.offset);
    const std::string& local = options.local_name.empty() ? name : options.local_name;
    bytes_ += "PK\3\4";
    Numbers(bytes_, {{0, 2},
                     {options.flags, 2},
                     {options.method, 2},
                     {0, 4},
                     {0, 12},
                     {local.size(), 2},
                     {options.padding, 2}});
    bytes_ += local + std::string(options.padding, 'Z') + data;
    const uint64_t size = options.size < 0 ? data.size() : static_cast<uint64_t>(options.size);
    std::string extra;
    if (options.is_zip64) Numbers(extra, {{1, 2}, {24, 2}, {size, 8}, {size, 8}, {offset, 8}});
    const bool is_far = options.is_zip64 || options.lacks_zip64;
    directory_ += "PK\1\2";
    Numbers(directory_, {{0, 4},
                         {options.flags, 2},
                         {options.method, 2},
                         {0, 4},
                         {Crc32::Of(std::as_bytes(std::span(data))).value(), 4},
                         {is_far ? UINT32_MAX : size, 4},
                         {is_far ? UINT32_MAX : size, 4},
                         {name.size(), 2},
                         {extra.size(), 2},
                         {0, 10},
                         {is_far ? UINT32_MAX : offset, 4}});
    directory_ += name + extra;
    ++entries_;
    return *this;
  }

  /// The archive; `end64`: with a zip64 end record and locator, as torch has them.
  std::string Finish(bool end64 = true, const std::string& comment = "",
                     int64_t entries = -1) const {
    std::string file = bytes_ + directory_;
    const uint64_t count = entries < 0 ? entries_ : static_cast<uint64_t>(entries);
    const uint64_t end = file.size();
    if (end64) {
      file += "PK\6\6";
      Numbers(file, {{44, 8},
                     {0, 4},
                     {0, 8},
                     {count, 8},
                     {count, 8},
                     {directory_.size(), 8},
                     {bytes_.size(), 8}});
      file += "PK\6\7";
      Numbers(file, {{0, 4}, {end, 8}, {1, 4}});
    }
    file += "PK\5\6";
    Numbers(file, {{0, 4},
                   {end64 ? UINT16_MAX : count, 2},
                   {end64 ? UINT16_MAX : count, 2},
                   {end64 ? UINT32_MAX : directory_.size(), 4},
                   {end64 ? UINT32_MAX : bytes_.size(), 4},
                   {comment.size(), 2}});
    return file + comment;
  }

 private:
  struct Number {
    uint64_t value;
    size_t bytes;
  };
  static void Numbers(std::string& out, const std::vector<Number>& numbers) {
    for (const Number& number : numbers) {
      AppendLittleEndian(out, number.value, std::min<size_t>(8, number.bytes));
      out.append(number.bytes - std::min<size_t>(8, number.bytes), '\0');
    }
  }

  std::string bytes_;
  std::string directory_;
  uint64_t entries_ = 0;
};

}  // namespace ckpt
