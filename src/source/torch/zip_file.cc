// A PyTorch file since 1.6: the end, the directory, the local headers, then data.pkl; never data/*.
#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <unordered_map>
#include <utility>

#include "base/crc32.h"
#include "base/text.h"
#include "base/units.h"
#include "format/compress/compress.h"
#include "format/zip/archive.h"
#include "source/reading.h"
#include "source/torch/parts.h"

namespace ckpt {
namespace {

constexpr uint64_t kMostDirectoryBytes = 256 * kMiB;  // a million records have 100
constexpr uint64_t kMostByteOrderBytes = 16;
constexpr std::string_view kPickle = "data.pkl";

class ZipFile {
 public:
  ZipFile(ObjectReader& reader, uint32_t object, MemoryBudget& budget)
      : reader_(reader), object_(object), budget_(budget) {}

  Result<TorchFile> Read() {
    CKPT_TRY_VOID(ReadDirectory());
    CKPT_TRY_VOID(PlaceRecords());
    CKPT_TRY_VOID(FindRoot());
    CKPT_TRY(const bool is_big_endian, ReadByteOrder());
    CKPT_TRY(pickle::StateDict dict, ReadPickle());
    CKPT_TRY_VOID(AddTensors(std::move(dict), is_big_endian));
    return std::move(file_);
  }

 private:
  Result<void> ReadDirectory() {
    const uint64_t file_bytes = reader_.info().size_bytes;
    const uint64_t tail_begin = file_bytes - std::min(file_bytes, zip::kTailBytes);
    CKPT_TRY(const Grant tail_grant,
             GrantNow(budget_, file_bytes - tail_begin, "the end of the file"));
    std::string tail;
    CKPT_TRY_VOID(AppendRange(reader_, {tail_begin, file_bytes}, tail));
    CKPT_TRY(const zip::DirectoryPlace place, zip::FindDirectory(tail, file_bytes));
    if (place.range.size() > kMostDirectoryBytes)
      return Fail(Code::kBadInput,
                  fmt::format("the zip directory has {} bytes", place.range.size()),
                  "no checkpoint has so many records: the file is damaged");
    CKPT_TRY(grant_, GrantNow(budget_, place.range.size() * (1 + zip::kDecodeBytesPerDirectoryByte),
                              "the zip directory"));
    std::string directory;
    if (place.range.begin >= tail_begin) {
      directory = tail.substr(place.range.begin - tail_begin, place.range.size());
    } else {
      CKPT_TRY_VOID(AppendRange(reader_, place.range, directory));
    }
    file_.header_bytes += tail.size() + (place.range.begin >= tail_begin ? 0 : directory.size());
    CKPT_TRY(records_, zip::DecodeDirectory(directory, place));
    end_ = place.range.begin;
    return {};
  }

  Result<void> PlaceRecords() {
    std::vector<ByteRange> ranges;
    ranges.reserve(records_.size());
    for (const zip::Record& record : records_)
      ranges.push_back(zip::LocalHeaderRange(record, end_));
    CKPT_TRY_VOID(ReadSmallRanges(reader_, ranges, [&](size_t number, std::string_view bytes) {
      file_.header_bytes += bytes.size();
      return zip::PlaceRecord(bytes, end_, records_[number]);
    }));
    CKPT_TRY_VOID(zip::CheckOverlap(records_));
    for (size_t i = 0; i < records_.size(); ++i) numbers_.emplace(records_[i].name, i);
    return {};
  }

  const zip::Record* Find(const std::string& name) const {
    const auto found = numbers_.find(name);
    return found == numbers_.end() ? nullptr : &records_[found->second];
  }

  // The folder that holds data.pkl, which must be the only one.
  Result<void> FindRoot() {
    bool is_script = false;
    for (const zip::Record& record : records_) {
      const size_t slash = record.name.find('/');
      if (slash == std::string::npos) continue;
      const std::string_view below = std::string_view(record.name).substr(slash + 1);
      is_script = is_script || below == "constants.pkl" || below.starts_with("code/");
      if (below != kPickle) continue;
      if (!root_.empty())
        return Fail(Code::kBadInput,
                    fmt::format("two pickles, in the folders {} and {}", Excerpt(root_),
                                Excerpt(record.name.substr(0, slash))),
                    "the file was put together by hand: save it again with torch.save");
      root_ = record.name.substr(0, slash + 1);
    }
    if (is_script)
      return Fail(Code::kBadInput, "a TorchScript archive: a program, not a state dict",
                  "load it with torch.jit.load and save its state_dict()");
    if (!root_.empty()) return {};
    return Fail(
        Code::kBadInput,
        fmt::format("a zip archive without data.pkl: not a file of torch.save ({})", Seen()),
        "name a file that torch.save wrote, or fetch it again");
  }

  std::string Seen() const {
    std::vector<std::string> names;
    names.reserve(records_.size());
    for (const zip::Record& record : records_) names.push_back(Excerpt(record.name));
    return names.empty() ? "it is empty" : "it holds " + ListSome(names, 5);
  }

  // A small record, unpacked where it is deflated, held against its CRC.
  Result<std::string> ReadRecord(const zip::Record& record, uint64_t limit_bytes) {
    const auto in_record = Where("record", Excerpt(record.name));
    const auto refuse = [&](std::string what) {
      return Result<std::string>(
                 Fail(Code::kBadInput, std::move(what), "the file is damaged: fetch it again"))
          .map_error(in_record);
    };
    if (record.is_encrypted || record.method == zip::Method::kOther)
      return refuse("the record is encrypted or packed by a method that is not read");
    if (record.size_bytes > limit_bytes || record.stored_bytes > limit_bytes + kMiB)
      return refuse(fmt::format("the record has {} bytes, at most {} are read", record.size_bytes,
                                limit_bytes));
    std::string bytes;
    CKPT_TRY_VOID(AppendRange(reader_, record.data, bytes));
    file_.header_bytes += bytes.size();
    if (record.method == zip::Method::kDeflated) {
      std::string unpacked(record.size_bytes, '\0');
      CKPT_TRY_VOID(Decompress(Compression::kDeflate, std::as_bytes(std::span(bytes)),
                               std::as_writable_bytes(std::span(unpacked)))
                        .map_error(in_record));
      bytes = std::move(unpacked);
    }
    if (Crc32::Of(std::as_bytes(std::span(bytes))).value() != record.crc32)
      return refuse("the record's bytes differ from their CRC-32 in the zip directory");
    return bytes;
  }

  Result<bool> ReadByteOrder() {
    const zip::Record* const record = Find(root_ + "byteorder");
    if (record == nullptr) return false;  // written since 2.1
    CKPT_TRY(const std::string order, ReadRecord(*record, kMostByteOrderBytes));
    if (order == "little" || order == "big") return order == "big";
    return Result<bool>(
               Fail(Code::kBadInput,
                    fmt::format("the byte order is \"{}\", neither little nor big", Excerpt(order)),
                    "the file is damaged: fetch it again"))
        .map_error(Where("record", Excerpt(record->name)));
  }

  Result<pickle::StateDict> ReadPickle() {
    const zip::Record& record = *Find(root_ + std::string(kPickle));
    const uint64_t memory_bytes = PickleMemoryBytes(budget_);
    const uint64_t text_bytes = std::min(record.size_bytes, pickle::kMaxPickleBytes) +
                                (record.method == zip::Method::kDeflated
                                     ? std::min(record.stored_bytes, pickle::kMaxPickleBytes)
                                     : 0);
    CKPT_TRY(const Grant grant, GrantNow(budget_, text_bytes + memory_bytes, "the pickle"));
    CKPT_TRY(const std::string text, ReadRecord(record, pickle::kMaxPickleBytes));
    return pickle::DecodeStateDict(text, {.memory_bytes = memory_bytes})
        .map_error(Where("record", Excerpt(record.name)));
  }

  // The record of a storage: there, stored as it is, of the size that the pickle says.
  Result<const zip::Record*> FindStorage(const pickle::Storage& storage) const {
    const std::string name = root_ + "data/" + storage.key;
    const zip::Record* const record = Find(name);
    const std::string shown = Excerpt(name);
    if (record == nullptr)
      return Fail(Code::kBadInput,
                  fmt::format("record {}, which data.pkl refers to, is missing", shown),
                  "the file is damaged: fetch it again");
    if (record->is_encrypted || record->method != zip::Method::kStored)
      return Fail(Code::kBadInput,
                  fmt::format("storage {} is {}: range reads are impossible", shown,
                              record->is_encrypted ? "encrypted" : "deflated"),
                  "unzip the file and zip it again without compression (zip -0), or load it in "
                  "Python and save it as safetensors");
    if (record->size_bytes != storage.size_bytes)
      return Fail(Code::kBadInput,
                  fmt::format("record {} has {} bytes, data.pkl says {} ({} elements of {})", shown,
                              record->size_bytes, storage.size_bytes, storage.elements,
                              storage.element_bytes),
                  "the file is damaged: fetch it again");
    return record;
  }

  Result<void> AddTensors(pickle::StateDict dict, bool is_big_endian) {
    std::vector<const zip::Record*> records(dict.storages.size(), nullptr);
    for (pickle::Tensor& tensor : dict.tensors) {
      const zip::Record*& record = records[tensor.storage];
      if (record == nullptr) {
        CKPT_TRY(record, FindStorage(dict.storages[tensor.storage])
                             .map_error(Where("tensor", Excerpt(tensor.name))));
        file_.checks.push_back({record->name, object_, record->data, record->crc32});
      }
      file_.tensors.push_back(
          ToEntry(std::move(tensor), object_, record->data.begin, is_big_endian));
    }
    std::sort(
        file_.checks.begin(), file_.checks.end(),
        [](const StoredCheck& a, const StoredCheck& b) { return a.range.begin < b.range.begin; });
    return {};
  }

  ObjectReader& reader_;
  const uint32_t object_;
  MemoryBudget& budget_;
  TorchFile file_;
  Grant grant_;
  std::vector<zip::Record> records_;  // by place
  std::unordered_map<std::string_view, size_t> numbers_;
  uint64_t end_ = 0;  // where the directory begins
  std::string root_;  // "archive/"
};

}  // namespace

Result<TorchFile> ReadTorchZip(ObjectReader& reader, uint32_t object, MemoryBudget& budget) {
  return ZipFile(reader, object, budget).Read();
}

}  // namespace ckpt
