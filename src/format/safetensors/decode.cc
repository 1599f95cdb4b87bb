#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <utility>

#include "base/check.h"
#include "base/endian.h"
#include "base/text.h"
#include "format/json/json.h"
#include "format/kind/kind.h"
#include "format/safetensors/header.h"

namespace ckpt::safetensors {
namespace {

constexpr std::string_view kDamaged = "the header is damaged: fetch the file again";

Result<void> Refuse(std::string what, std::string_view remedy = kDamaged) {
  return Fail(Code::kBadInput, std::move(what), std::string(remedy));
}

std::string Quoted(std::string_view name) { return fmt::format("\"{}\"", Excerpt(name)); }

// Collects the entries token by token: rules 5 to 8, and 9 for fields.
class HeaderVisitor {
 public:
  Result<void> Visit(const json::Token& token) {
    if (token.depth == 0) return Root(token);
    if (token.depth == 1) return Top(token);
    if (is_in_metadata_) return InMetadata(token);
    auto taken = InTensor(token);
    if (!taken) return std::move(taken).map_error(Where("tensor", Excerpt(tensor_.name)));
    return taken;
  }

  Header Take() && {
    if (has_metadata_object_) header_.metadata = std::move(metadata_);
    return std::move(header_);
  }

 private:
  enum class Field : uint8_t { kDType, kShape, kOffsets, kOther };

  static Result<void> Root(const json::Token& token) {
    if (token.kind == json::Kind::kBeginObject || token.kind == json::Kind::kEndObject) return {};
    return Refuse("the header is no JSON object");
  }

  // Depth 1: names, and the braces of what they name.
  Result<void> Top(const json::Token& token) {
    switch (token.kind) {
      case json::Kind::kKey:
        is_in_metadata_ = token.text == "__metadata__";
        if (is_in_metadata_) {
          if (has_metadata_)
            return Refuse("__metadata__ appears twice").map_error(Where("key", "__metadata__"));
          has_metadata_ = true;
        }
        tensor_ = Tensor{};
        tensor_.name = token.text;
        has_dtype_ = has_shape_ = has_offsets_ = false;
        return {};
      case json::Kind::kBeginObject:
        if (is_in_metadata_) has_metadata_object_ = true;
        return {};
      case json::Kind::kEndObject:
        if (is_in_metadata_) return {};
        return Finish();
      case json::Kind::kNull:
        if (is_in_metadata_) return {};  // as the reference
        [[fallthrough]];
      default:
        if (is_in_metadata_)
          return Refuse("__metadata__ is no object of strings")
              .map_error(Where("key", "__metadata__"));
        return Refuse("the entry is no JSON object")
            .map_error(Where("tensor", Excerpt(tensor_.name)));
    }
  }

  Result<void> InMetadata(const json::Token& token) {
    if (token.kind == json::Kind::kKey) {
      key_ = token.text;
      if (metadata_.contains(key_))
        return Refuse(fmt::format("__metadata__ has {} twice", Quoted(key_)));
      return {};
    }
    if (token.kind != json::Kind::kString || token.depth != 2)
      return Refuse(fmt::format("__metadata__ {} is no string", Quoted(key_)))
          .map_error(Where("key", "__metadata__"));
    metadata_.emplace(key_, token.text);
    return {};
  }

  Result<void> InTensor(const json::Token& token) {
    if (token.depth == 2 && token.kind == json::Kind::kKey) return BeginField(token.text);
    switch (field_) {
      case Field::kDType:
        return DTypeValue(token);
      case Field::kShape:
        return Number(token, "shape", "a dimension");
      case Field::kOffsets:
        return Number(token, "data_offsets", "an offset");
      case Field::kOther:
        break;  // unknown fields are ignored, as the reference does
    }
    return {};
  }

  Result<void> BeginField(std::string_view name) {
    const auto open = [&](Field field, bool& has) -> Result<void> {
      if (std::exchange(has, true)) return Refuse(fmt::format("field \"{}\" appears twice", name));
      field_ = field;
      numbers_.clear();
      return {};
    };
    if (name == "dtype") return open(Field::kDType, has_dtype_);
    if (name == "shape") return open(Field::kShape, has_shape_);
    if (name == "data_offsets") return open(Field::kOffsets, has_offsets_);
    field_ = Field::kOther;
    return {};
  }

  Result<void> DTypeValue(const json::Token& token) {
    if (token.kind != json::Kind::kString) return Refuse("field \"dtype\" is no string");
    const auto dtype = SafetensorsDType(token.text);
    if (!dtype) {
      std::vector<std::string> known;
      for (const DType each : SafetensorsDTypes()) known.emplace_back(Name(each));
      return Refuse(
          fmt::format("unknown dtype {}; known are {}", Quoted(token.text),
                      ListSome(known, known.size())),
          "the file is damaged or newer than this program: fetch it again, or update ckpt");
    }
    tensor_.dtype = *dtype;
    return {};
  }

  // Both number lists: "shape" and "data_offsets".
  Result<void> Number(const json::Token& token, std::string_view field, std::string_view one) {
    if (token.depth == 2) {
      if (token.kind == json::Kind::kBeginArray) return {};
      if (token.kind == json::Kind::kEndArray) return EndNumbers();
      return Refuse(fmt::format("field \"{}\" is no list of numbers", field));
    }
    switch (token.kind) {
      case json::Kind::kUnsigned:
        numbers_.push_back(token.unsigned_value);
        return {};
      case json::Kind::kNegative:
        return Refuse(
            fmt::format("field \"{}\": {} is negative ({})", field, one,
                        token.negative_value == 0 ? "-0" : std::to_string(token.negative_value)));
      case json::Kind::kFloat:
        return Refuse(fmt::format("field \"{}\": {} ({}) is no integer below 2^64", field, one,
                                  token.float_value));
      default:
        return Refuse(fmt::format("field \"{}\": {} is no number", field, one));
    }
  }

  Result<void> EndNumbers() {
    if (field_ == Field::kShape) {
      tensor_.shape = Shape(std::vector<uint64_t>(numbers_.begin(), numbers_.end()));
      return {};
    }
    if (numbers_.size() != 2)
      return Refuse(fmt::format("field \"data_offsets\" has {} numbers, not 2", numbers_.size()));
    // Possibly reversed: rule 12 follows once the order is known.
    tensor_.data = {numbers_[0], numbers_[1]};
    return {};
  }

  Result<void> Finish() {
    const auto missing = [&](std::string_view field) {
      return Refuse(fmt::format("field \"{}\" is missing", field))
          .map_error(Where("tensor", Excerpt(tensor_.name)));
    };
    if (!has_dtype_) return missing("dtype");
    if (!has_shape_) return missing("shape");
    if (!has_offsets_) return missing("data_offsets");
    header_.tensors.push_back(std::move(tensor_));
    return {};
  }

  Header header_;
  Metadata metadata_;
  Tensor tensor_;  // being read
  std::string key_;
  std::deque<uint64_t>
      numbers_;  // a deque: growing never holds two copies, and a shape has no limit
  Field field_ = Field::kOther;
  bool is_in_metadata_ = false;
  bool has_metadata_ = false;
  bool has_metadata_object_ = false;  // not null
  bool has_dtype_ = false;
  bool has_shape_ = false;
  bool has_offsets_ = false;
};

// Rule 9.
Result<void> CheckNames(const std::vector<Tensor>& tensors) {
  std::vector<const Tensor*> by_name;
  by_name.reserve(tensors.size());
  for (const Tensor& tensor : tensors) by_name.push_back(&tensor);
  std::sort(by_name.begin(), by_name.end(),
            [](const Tensor* a, const Tensor* b) { return a->name < b->name; });
  const auto twice =
      std::adjacent_find(by_name.begin(), by_name.end(),
                         [](const Tensor* a, const Tensor* b) { return a->name == b->name; });
  if (twice == by_name.end()) return {};
  const std::string& name = (*twice)->name;
  return Refuse(
             fmt::format("tensor {} appears twice", Quoted(name)),
             "which of the two is meant cannot be known: fetch the file again, or ask its author")
      .map_error(Where("tensor", Excerpt(name)));
}

// Rules 10 to 15, for a tensor that must begin at `expected`.
Result<void> CheckTensor(const Tensor& tensor, uint64_t expected, bool is_first) {
  const auto [begin, end] = tensor.data;
  // Rule 12 before 10 and 11: reversed offsets mostly begin at a wrong place too, but this is what
  // is wrong with them.
  if (end < begin) return Refuse(fmt::format("offsets reversed: begin {}, end {}", begin, end));
  if (begin > expected)
    return Refuse(fmt::format("gap of {} bytes before {}: its data begins at {}, not {}",
                              begin - expected, is_first ? "the first tensor" : "the tensor", begin,
                              expected));
  if (begin < expected)
    return Refuse(
        fmt::format("overlap of {} bytes: its data begins at {}, the tensor before ends at {}",
                    expected - begin, begin, expected));
  CKPT_TRY(const uint64_t size_bytes, TensorBytes(tensor.dtype, tensor.shape));
  if (size_bytes != end - begin)
    return Refuse(fmt::format("{} of shape {} has {} bytes, its offsets [{}, {}) have {}",
                              Name(tensor.dtype), Excerpt(ToString(tensor.shape)), size_bytes,
                              begin, end, end - begin));
  return {};
}

std::string RangeText(const Tensor& tensor) {
  return fmt::format("{}, bytes [{}, {}) of the data", Excerpt(tensor.name), tensor.data.begin,
                     tensor.data.end);
}

// Rules 9 to 16. Sorts the tensors by place. The data are the file's bytes [data_begin,
// file_bytes).
Result<void> CheckLayout(std::vector<Tensor>& tensors, uint64_t data_begin, uint64_t file_bytes) {
  CKPT_TRY_VOID(CheckNames(tensors));
  std::sort(tensors.begin(), tensors.end(), [](const Tensor& a, const Tensor& b) {
    return a.data.begin != b.data.begin ? a.data.begin < b.data.begin : a.data.end < b.data.end;
  });
  uint64_t end = 0;
  for (const Tensor& tensor : tensors) {
    auto checked = CheckTensor(tensor, end, &tensor == tensors.data());
    if (!checked) return std::move(checked).map_error(Where("tensor", RangeText(tensor)));
    end = tensor.data.end;
  }
  const uint64_t data_bytes = file_bytes - data_begin;
  if (end > data_bytes)
    return Refuse(fmt::format("truncated: {} bytes missing, the tensors need {} bytes of data, the "
                              "file has {}",
                              end - data_bytes, end, data_bytes),
                  "the download is incomplete: fetch the file again")
        .map_error(Where("byte", std::to_string(file_bytes)));
  if (end < data_bytes)
    return Refuse(fmt::format("{} bytes after the last tensor", data_bytes - end))
        .map_error(Where("byte", std::to_string(data_begin + end)));
  return {};
}

}  // namespace

Result<uint64_t> DecodeHeaderLength(std::string_view front, uint64_t file_bytes) {
  const auto refuse = [](std::string what, std::string_view remedy) {
    return Fail(
        Where("byte", "0")({Code::kBadInput, std::move(what), {}, {}, std::string(remedy)}));
  };
  if (file_bytes < kLengthBytes || front.size() < kLengthBytes)
    return refuse(fmt::format("not a safetensors file: {} bytes, the header length alone needs {}",
                              file_bytes, kLengthBytes),
                  "the download is incomplete: fetch the file again");
  const uint64_t length = FromLittleEndian(std::as_bytes(std::span(front.substr(0, kLengthBytes))));
  if (length > kMaxHeaderBytes) {
    const FileKind kind = PeekFileKind(front);
    const KindWords words = Words(kind);
    if (kind != FileKind::kSafetensors && !words.what.empty())
      return refuse(fmt::format("not a safetensors file but {}", words.what), words.remedy);
    return refuse(fmt::format("header length {} is over {}", length, kMaxHeaderBytes),
                  "not a safetensors file, or damaged: fetch it again");
  }
  if (length > file_bytes - kLengthBytes)
    return refuse(
        fmt::format("header of {} bytes, but file has {}: truncated download?", length, file_bytes),
        "fetch the file again");
  return length;
}

Result<Header> DecodeHeader(std::string_view json, uint64_t file_bytes) {
  CKPT_CHECK(kLengthBytes + json.size() <= file_bytes);
  HeaderVisitor visitor;
  CKPT_TRY_VOID(json::Read(json, kLengthBytes,
                           [&](const json::Token& token) { return visitor.Visit(token); }));
  Header header = std::move(visitor).Take();
  CKPT_TRY_VOID(CheckLayout(header.tensors, kLengthBytes + json.size(), file_bytes));
  return header;
}

}  // namespace ckpt::safetensors
