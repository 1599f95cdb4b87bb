#pragma once

#include <functional>
#include <string>

#include "base/memory_budget.h"
#include "store/store.h"

namespace ckpt {

/// Stands in for a destination while verifying: what a run writes is compared with what `inner`
/// holds, and nothing is changed. Errors of its writers: kBadInput naming the first byte that
/// differs, an object that is missing or of another size.
class CompareStore final : public Store {
 public:
  /// `describe`: what an object holds at a byte, for messages. All outlive this.
  CompareStore(Store& inner, MemoryBudget& budget,
               std::function<std::string(const std::string& name, uint64_t offset)> describe)
      : inner_(inner), budget_(budget), describe_(std::move(describe)) {}

  const Uri& root() const override { return inner_.root(); }
  bool KeepsObjects() const override { return false; }
  Result<std::vector<ObjectInfo>> List(std::string_view prefix, std::stop_token stop) override;
  Result<ObjectInfo> Stat(std::string_view name) override { return inner_.Stat(name); }
  Result<std::unique_ptr<ObjectReader>> Open(const ObjectInfo& info) override {
    return inner_.Open(info);
  }
  Result<std::unique_ptr<ObjectWriter>> Create(std::string_view name,
                                               CreateOptions options) override;
  Result<std::unique_ptr<PositionedWriter>> CreatePositioned(std::string_view name,
                                                             uint64_t size_bytes,
                                                             CreateOptions options) override;
  Result<void> Remove(std::string_view name) override;

 private:
  Result<std::unique_ptr<ObjectReader>> OpenExisting(std::string_view name);

  Store& inner_;
  MemoryBudget& budget_;
  std::function<std::string(const std::string&, uint64_t)> describe_;
};

}  // namespace ckpt
