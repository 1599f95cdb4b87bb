#include "source/reader_pool.h"

#include <utility>

#include "source/reading.h"

namespace ckpt {

Result<std::shared_ptr<ObjectReader>> ReaderPool::Get(uint32_t object) {
  {
    const std::lock_guard lock(mutex_);
    if (const auto at = places_.find(object); at != places_.end()) {
      open_.splice(open_.begin(), open_, at->second);
      return open_.front().reader;
    }
  }
  // Opening is I/O, so without the lock; two threads may open one object, and one reader wins.
  const ObjectInfo& info = catalog_.objects[object];
  auto opened = store_.Open(info);
  if (!opened) return Fail(InFile(store_, info.name)(std::move(opened).error()));
  std::shared_ptr<ObjectReader> reader =
      checks_ == nullptr ? *std::move(opened) : checks_->Watch(*std::move(opened), object);
  std::shared_ptr<ObjectReader> closed;  // ends after the lock
  const std::lock_guard lock(mutex_);
  if (const auto at = places_.find(object); at != places_.end()) return at->second->reader;
  if (open_.size() >= most_open_) {
    closed = std::move(open_.back().reader);
    places_.erase(open_.back().object);
    open_.pop_back();
  }
  open_.push_front({object, reader});
  places_[object] = open_.begin();
  return reader;
}

}  // namespace ckpt
