#include "store/hub/empty_reader.h"

#include <utility>

#include "base/text.h"
#include "store/ready.h"

namespace ckpt {
namespace {

class EmptyReader final : public ObjectReader {
 public:
  EmptyReader(ObjectInfo info, Uri place) : info_(std::move(info)), place_(std::move(place)) {}
  const ObjectInfo& info() const override { return info_; }
  IoFuture ReadWindow(ByteRange range, std::span<std::byte> /*window*/) override {
    return Ready(Check(range));
  }
  Result<void> Read(ByteRange range, std::span<std::byte> /*into*/) override {
    return Check(range);
  }

 private:
  Result<void> Check(ByteRange range) const {
    if (range.end == 0) return {};
    return Fail({Code::kBadInput,
                 "the file is empty",
                 {},
                 {{"byte", ToString(range)}, {"file", Printable(place_.PrintBelow(info_.name))}},
                 "name another revision, or ask the owner of the file"});
  }

  const ObjectInfo info_;
  const Uri place_;
};

}  // namespace

std::unique_ptr<ObjectReader> OpenEmptyObject(ObjectInfo info, Uri place) {
  return std::make_unique<EmptyReader>(std::move(info), std::move(place));
}

}  // namespace ckpt
