#include "run/compare_store.h"

#include <fmt/format.h>

#include "run/compare.h"

namespace ckpt {
namespace {

constexpr const char* kRemedy = "convert again; the output was changed or is damaged";

tl::unexpected<Error> WrongSize(const ObjectInfo& info, const Store& store, uint64_t expected) {
  Error error{Code::kBadInput,
              fmt::format("the file has {} bytes, {} expected", info.size_bytes, expected),
              {},
              {},
              kRemedy};
  error.where.push_back({"file", store.root().PrintBelow(info.name)});
  return Fail(std::move(error));
}

// Compares front to back.
class CompareObject final : public ObjectWriter {
 public:
  CompareObject(std::unique_ptr<ObjectReader> reader, const Store& store, MemoryBudget& budget,
                std::function<std::string(uint64_t)> describe)
      : info_(reader->info()),
        store_(store),
        writer_(std::move(reader), budget, std::move(describe)) {}

  Result<void> Append(std::span<const std::byte> bytes) override {
    if (bytes.size() > info_.size_bytes - next_)
      return WrongSize(info_, store_, next_ + bytes.size());
    const uint64_t offset = next_;
    next_ += bytes.size();
    return writer_.WriteAt(offset, bytes).get();
  }
  Result<ObjectInfo> Commit() override {
    if (next_ != info_.size_bytes) return WrongSize(info_, store_, next_);
    return info_;
  }

 private:
  ObjectInfo info_;
  const Store& store_;
  CompareWriter writer_;
  uint64_t next_ = 0;
};

}  // namespace

Result<std::vector<ObjectInfo>> CompareStore::List(std::string_view /*prefix*/,
                                                   std::stop_token /*stop*/) {
  return std::vector<ObjectInfo>();
}

Result<std::unique_ptr<ObjectReader>> CompareStore::OpenExisting(std::string_view name) {
  Result<ObjectInfo> info = inner_.Stat(name);
  if (!info && info.error().code == Code::kNotFound) {
    Error error{Code::kBadInput, "a file of the output is missing", {}, {}, kRemedy};
    error.where.push_back({"file", inner_.root().PrintBelow(name)});
    return Fail(std::move(error));
  }
  if (!info) return Fail(std::move(info).error());
  return inner_.Open(*info);
}

Result<std::unique_ptr<ObjectWriter>> CompareStore::Create(std::string_view name,
                                                           CreateOptions /*options*/) {
  CKPT_TRY(std::unique_ptr<ObjectReader> reader, OpenExisting(name));
  return std::make_unique<CompareObject>(
      std::move(reader), inner_, budget_,
      [this, name = std::string(name)](uint64_t offset) { return describe_(name, offset); });
}

Result<std::unique_ptr<PositionedWriter>> CompareStore::CreatePositioned(
    std::string_view name, uint64_t size_bytes, CreateOptions /*options*/) {
  CKPT_TRY(std::unique_ptr<ObjectReader> reader, OpenExisting(name));
  if (reader->info().size_bytes != size_bytes) return WrongSize(reader->info(), inner_, size_bytes);
  return std::make_unique<CompareWriter>(
      std::move(reader), budget_,
      [this, name = std::string(name)](uint64_t offset) { return describe_(name, offset); });
}

Result<void> CompareStore::Remove(std::string_view /*name*/) { return {}; }

}  // namespace ckpt
