#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include "base/memory_budget.h"
#include "store/archive/unpack.h"
#include "store/file/file_store.h"
#include "store/ready.h"
#include "store/store.h"
#include "tests/store/temp_folder.h"

// Archives made by hand, so that a test says every byte of them.

namespace ckpt {

inline constexpr size_t kTarBlock = 512;

inline std::string Padded(std::string text) {
  text.resize((text.size() + kTarBlock - 1) / kTarBlock * kTarBlock);
  return text;
}

/// The header of a member, in the form of ustar; `type` as tar has it ('0' a file, '5' a folder).
/// `size`: twelve bytes as they stand there, else that of `size_bytes`.
inline std::string TarHeader(const std::string& name, uint64_t size_bytes, char type = '0',
                             const std::string& link = "", const std::string& size = "") {
  std::string header(kTarBlock, '\0');
  const auto put = [&](size_t at, const std::string& text) {
    header.replace(at, text.size(), text);
  };
  put(0, name.substr(0, 100));
  put(100, "0000644");
  put(124, size.empty() ? fmt::format("{:011o}", size_bytes) : size);
  put(136, "00000000000");
  put(148, "        ");
  header[156] = type;
  put(157, link);
  put(257, std::string("ustar\0"
                       "00",
                       8));
  unsigned sum = 0;
  for (const char byte : header) sum += static_cast<unsigned char>(byte);
  put(148, fmt::format("{:06o}", sum) + std::string("\0 ", 2));
  return header;
}

inline std::string TarFile(const std::string& name, const std::string& text, char type = '0') {
  return TarHeader(name, text.size(), type) + Padded(text);
}
/// A pax record before the member that it is about.
inline std::string PaxRecord(const std::string& key, const std::string& value) {
  const std::string rest = fmt::format(" {}={}\n", key, value);
  size_t size = rest.size() + 1;
  while (fmt::format("{}{}", size, rest).size() != size) ++size;
  return TarFile("pax", fmt::format("{}{}", size, rest), 'x');
}
inline std::string TarEnd() {
  std::string end;
  end.resize(2 * kTarBlock);
  return end;
}

inline std::string Gzipped(std::string_view text) {
  z_stream stream{};
  if (deflateInit2(&stream, 9, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY) != Z_OK)
    throw std::runtime_error("no zlib");
  std::string packed(deflateBound(&stream, text.size()), '\0');
  stream.next_in = const_cast<Bytef*>(reinterpret_cast<const Bytef*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  deflate(&stream, Z_FINISH);
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  return packed;
}

/// An object in memory.
class TextObject final : public ObjectReader {
 public:
  explicit TextObject(std::string text) : text_(std::move(text)) {
    info_ = {"archive", text_.size(), {}, 0, std::nullopt};
  }
  void SetCrc32c(Crc32c crc) { info_.crc32c = crc; }

  const ObjectInfo& info() const override { return info_; }
  IoFuture ReadWindow(ByteRange range, std::span<std::byte> window) override {
    return Ready(Read(range, window.subspan(range.begin % kIoAlignment, range.size())));
  }
  Result<void> Read(ByteRange range, std::span<std::byte> into) override {
    std::memcpy(into.data(), text_.data() + range.begin, range.size());
    return {};
  }

 private:
  const std::string text_;
  ObjectInfo info_;
};

using Files = std::map<std::string, std::string>;

/// All files below a folder.
inline Files FilesIn(const std::string& folder) {
  Files files;
  if (!std::filesystem::exists(folder)) return files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (entry.is_directory()) continue;
    std::ostringstream text;
    text << std::ifstream(entry.path(), std::ios::binary).rdbuf();
    files[entry.path().lexically_relative(folder).string()] = text.str();
  }
  return files;
}

/// A folder that archives are unpacked to, with what may be changed.
class UnpackFolder : public testing::Test {
 protected:
  Result<Unpacked> Run(ObjectReader& archive) {
    std::filesystem::remove_all(path_);
    const auto into = *OpenFileStore(*Uri::Parse(path_), {.io_threads = 1});
    return Unpack(archive, *into, budget_, options_);
  }
  Result<Unpacked> Run(const std::string& archive) {
    TextObject object(archive);
    return Run(object);
  }
  Files Made(const std::string& archive) {
    const Result<Unpacked> unpacked = Run(archive);
    if (!unpacked) {
      ADD_FAILURE() << unpacked.error().Print();
      return {};
    }
    Files files = FilesIn(path_);
    EXPECT_EQ(unpacked->files, files.size());
    return files;
  }
  Error Refused(const std::string& archive) {
    const Result<Unpacked> unpacked = Run(archive);
    if (!unpacked) return unpacked.error();
    ADD_FAILURE() << "unpacked";
    return {};
  }

  const TempFolder folder_;
  const std::string path_ = folder_.path() + "/into";
  MemoryBudget budget_{UnpackMemoryBytes()};
  UnpackOptions options_{.most_bytes = 1 << 20, .most_members = 100, .md5 = "", .stop = {}};
};

/// The value of one of an error's places, or "".
inline std::string PlaceOf(const Error& error, std::string_view kind) {
  for (const Place& place : error.where) {
    if (place.kind == kind) return place.value;
  }
  return "";
}

}  // namespace ckpt
