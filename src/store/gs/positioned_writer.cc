#include "store/gs/positioned_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <optional>
#include <utility>

#include "base/check.h"
#include "store/gs/object_writer.h"
#include "store/gs/part_layout.h"
#include "store/gs/part_pool.h"
#include "store/gs/part_sink.h"
#include "store/gs/positioned_memory.h"
#include "store/gs/receipt.h"
#include "store/gs/scratch.h"
#include "store/gs/session.h"
#include "store/gs/small_upload.h"
#include "store/ready.h"

namespace ckpt::gs {
namespace {

/// A part on its way to the service. Its buffer is there from its first byte until it was sent.
struct Part {
  enum class State { kFilling, kOnItsWay, kThere, kFailed };

  std::mutex mutex;  // of `is_open`: two segments may meet in one part
  bool is_open = false;
  UploadBuffer buffer;
  std::atomic<uint64_t> filled_bytes{0};
  // The rest is the writer's mutex_'s.
  State state = State::kFilling;
  size_t saving = 0;  // pieces of the buffer that are on their way to the scratch folder
  Crc32c crc32c;      // once it is full, or there
  std::string tag;    // once it is there
  std::optional<Error> failure;
};

/// A piece of a part, within one segment: most parts are one cell.
struct Cell {
  std::atomic<uint64_t> filled_bytes{0};
  // Of these bytes, as long as they come front to back: a file's front, where all is known last,
  // does not. One thread at a time writes them.
  Crc32c crc32c;
  bool is_in_order = true;
  std::optional<Crc32c> saved;  // in the scratch folder, by us or another; the writer's mutex_'s
};

class GsPositionedWriter final : public PositionedWriter {
 public:
  GsPositionedWriter(Client& client, std::string object, std::string name, uint64_t size_bytes,
                     const CreateOptions& options, PartLayout layout)
      : client_(client),
        object_(std::move(object)),
        name_(std::move(name)),
        size_bytes_(size_bytes),
        is_create_only_(options.is_create_only),
        is_kept_(options.is_kept),
        layout_(std::move(layout)),
        parts_(layout_.parts.size()),
        cells_(layout_.cells.size()) {}
  GsPositionedWriter(const GsPositionedWriter&) = delete;
  GsPositionedWriter& operator=(const GsPositionedWriter&) = delete;
  ~GsPositionedWriter() override {
    if (pool_) pool_->WaitForSent();
    if (sink_ && !is_done_ && !is_kept_) sink_->Abandon();
  }

  Result<void> Open(const std::string& temporary, const std::string& session) {
    const PoolSize size = PoolSizeOf(client_.options(), layout_);
    CKPT_TRY(pool_, PartPool::Make(client_.budget(), size.buffers, size.filling, layout_.most_bytes,
                                   client_.stop()));
    if (IsSmall()) return {};
    CKPT_TRY(sink_, OpenPartSink(client_, object_, temporary, session, parts_.size()));
    if (is_kept_) scratch_.emplace(client_, temporary, sink_->session());
    return {};
  }

  uint64_t alignment() const override { return 1; }

  std::string session() const override {
    return is_kept_ && sink_ ? PrintSession(sink_->session()) : "";
  }

  Result<std::span<std::byte>> Room(ByteRange range) override {
    CKPT_CHECK(!is_done_ && !range.empty() && range.end <= size_bytes_);
    CKPT_TRY_VOID(Failure());
    const size_t i = layout_.Find(range.begin);
    if (range.end > layout_.parts[i].end) return std::span<std::byte>();
    CKPT_TRY_VOID(OpenBuffer(parts_[i]));
    const std::span<std::byte> room = BytesOf(i, range);
    const bool is_congruent = (reinterpret_cast<uintptr_t>(room.data()) - range.begin) % 8 == 0;
    return is_congruent ? room : std::span<std::byte>();
  }

  IoFuture WriteAt(uint64_t offset, std::span<const std::byte> bytes) override {
    CKPT_CHECK(!is_done_ && offset <= size_bytes_ && bytes.size() <= size_bytes_ - offset);
    return Ready(Write(offset, bytes));
  }

  Result<std::string> Settle(ByteRange range) override {
    CKPT_CHECK(!is_done_ && range.end <= size_bytes_);
    if (!is_kept_) {
      pool_->WaitForSent();
      CKPT_TRY_VOID(Failure());
      return std::string();
    }
    Receipt receipt;
    for (size_t i = range.empty() ? parts_.size() : layout_.Find(range.begin);
         i < parts_.size() && layout_.parts[i].begin < range.end; ++i)
      CKPT_TRY_VOID(SettlePart(i, range, receipt)
                        .map_error(Where("byte", ToString(layout_.parts[i])))
                        .map_error(client_.At(object_)));
    return PrintReceipt(receipt);
  }

  Result<void> TakeOver(ByteRange range, std::string_view receipt) override {
    CKPT_CHECK(!is_done_ && is_kept_ && range.end <= size_bytes_);
    CKPT_TRY(Receipt parsed, ParseReceipt(receipt).map_error(client_.At(object_)));
    if (!IsOf(parsed, layout_, range))
      return Result<void>(Fail(Code::kIo, "what was kept of this range is of another upload",
                               "the state of the run is damaged: remove it with ckpt clean, and "
                               "run again"))
          .map_error(Where("byte", ToString(range)))
          .map_error(client_.At(object_));
    const std::lock_guard lock(mutex_);
    for (SentPart& sent : parsed.parts) {
      Part& part = parts_[sent.part];
      if (part.state != Part::State::kFilling) continue;  // ours has the same bytes
      part.state = Part::State::kThere;
      part.crc32c = sent.crc32c;
      part.tag = std::move(sent.tag);
    }
    for (const SavedPiece& piece : parsed.pieces)
      cells_[layout_.FindCell(piece.range.begin)].saved = piece.crc32c;
    return {};
  }

  Result<ObjectInfo> Commit() override {
    CKPT_CHECK(!is_done_);
    pool_->WaitForSent();
    // Where the upload is gone, another process may have completed it: the object will tell.
    if (!is_gone_) CKPT_TRY_VOID(Failure());
    Result<Crc32c> whole = WholeCrc();
    if (!whole) {
      CKPT_TRY_VOID(Failure());
      return Fail(std::move(whole).error());
    }
    CKPT_TRY(const ObjectMeta made, Finish(*whole));
    is_done_ = true;
    CleanUp();
    return InfoOf(made, name_);
  }

 private:
  // One part within the limits of a single request, which has preconditions.
  bool IsSmall() const {
    if (is_kept_) return parts_.empty();
    return size_bytes_ <= client_.options().small_bytes && parts_.size() <= 1;
  }

  Result<void> Write(uint64_t offset, std::span<const std::byte> bytes) {
    CKPT_TRY_VOID(Failure());
    while (!bytes.empty()) {
      const size_t cell = layout_.FindCell(offset);
      const auto count = std::min<uint64_t>(bytes.size(), layout_.cells[cell].end - offset);
      if (Result<void> put = Put(cell, offset, bytes.first(count)); !put) {
        Remember(put.error());
        return put.map_error(Where("byte", ToString({offset, offset + count})))
            .map_error(client_.At(object_));
      }
      offset += count;
      bytes = bytes.subspan(count);
    }
    return {};
  }

  Result<void> Put(size_t c, uint64_t offset, std::span<const std::byte> bytes) {
    Cell& cell = cells_[c];
    if (cell.filled_bytes.load() + bytes.size() > layout_.cells[c].size())
      return Fail(Code::kInternal, "bytes were written twice", "please report this");
    if (offset != layout_.cells[c].begin + cell.filled_bytes.load()) cell.is_in_order = false;
    const size_t i = layout_.Find(offset);
    CKPT_TRY_VOID(OpenBuffer(parts_[i]));
    const std::span<std::byte> into = BytesOf(i, {offset, offset + bytes.size()});
    for (size_t at = 0; at < bytes.size(); at += kCachedBytes) {
      const auto block = bytes.subspan(at, std::min<size_t>(kCachedBytes, bytes.size() - at));
      if (into.data() != bytes.data())  // Room() gave another
        std::memcpy(into.data() + at, block.data(), block.size());
      if (cell.is_in_order) cell.crc32c.Append(block);
    }
    AddFilled(i, c, bytes.size());
    return {};
  }

  Result<void> OpenBuffer(Part& part) {
    const std::lock_guard lock(part.mutex);
    if (part.is_open) return {};
    CKPT_TRY(part.buffer, pool_->Take());
    part.is_open = true;
    return {};
  }

  // Whoever fills the part up sees the bytes of all others, and sends it.
  void AddFilled(size_t i, size_t c, uint64_t bytes) {
    cells_[c].filled_bytes.fetch_add(bytes);
    if (parts_[i].filled_bytes.fetch_add(bytes) + bytes == layout_.parts[i].size()) Send(i);
  }

  std::span<std::byte> BytesOf(size_t i, const ByteRange& range) {
    return parts_[i].buffer.bytes().subspan(range.begin - layout_.parts[i].begin, range.size());
  }

  // Of a cell that is filled.
  Crc32c CrcOf(size_t i, size_t c) {
    return cells_[c].is_in_order ? cells_[c].crc32c : Crc32c::Of(BytesOf(i, layout_.cells[c]));
  }

  void Send(size_t i) {
    Part& part = parts_[i];
    Crc32c crc32c;
    for (size_t c = layout_.first_cell[i]; c < layout_.first_cell[i + 1]; ++c)
      crc32c.Append(CrcOf(i, c));
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return part.saving == 0; });  // they need the buffer too
      part.crc32c = crc32c;
      if (IsSmall()) return;  // Commit() sends it
      part.state = Part::State::kOnItsWay;
    }
    pool_->Sent();
    client_.engine().Start(sink_->PartRequest(i, part.buffer, crc32c),
                           [this, i](Result<http::Response> answer) {
                             TakeAnswer(parts_[i], std::move(answer));
                             // Last: the writer may end as soon as nothing is on its way.
                             pool_->GiveBack(std::move(parts_[i].buffer), true);
                           });
  }

  void TakeAnswer(Part& part, Result<http::Response> answer) {
    Result<std::string> tag = [&]() -> Result<std::string> {
      if (!answer) return Fail(std::move(answer).error());
      if (!sink_->IsGone(*answer)) return sink_->TakeAnswer(*answer);
      is_gone_ = true;
      return Fail(GoneError());
    }();
    if (!tag) Remember(tag.error());
    const std::lock_guard lock(mutex_);
    if (tag) {
      part.tag = *std::move(tag);
      part.state = Part::State::kThere;
    } else {
      part.failure = std::move(tag).error();
      part.state = Part::State::kFailed;
    }
    changed_.notify_all();
  }

  // What there is of the part in `range`, made durable: the whole part where it is full, else a
  // piece for each of its cells.
  Result<void> SettlePart(size_t i, const ByteRange& range, Receipt& receipt) {
    Part& part = parts_[i];
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] {
        if (part.state == Part::State::kFilling)
          return part.filled_bytes.load() < layout_.parts[i].size();
        return part.state != Part::State::kOnItsWay;
      });
      if (part.state == Part::State::kFailed) return Fail(*part.failure);
      if (part.state == Part::State::kThere) {
        receipt.parts.push_back({i, part.crc32c, part.tag});
        return {};
      }
      ++part.saving;
    }
    Result<void> result;
    for (size_t c = layout_.first_cell[i]; c < layout_.first_cell[i + 1] && result; ++c) {
      if (layout_.cells[c].end > range.begin && layout_.cells[c].begin < range.end)
        result = SettleCell(i, c, range, receipt);
    }
    const std::lock_guard lock(mutex_);
    --part.saving;
    changed_.notify_all();
    return result;
  }

  Result<void> SettleCell(size_t i, size_t c, const ByteRange& range, Receipt& receipt) {
    const ByteRange& cell = layout_.cells[c];
    std::optional<Crc32c> saved = Saved(c);
    if (!range.Contains(cell) || (!saved && cells_[c].filled_bytes != cell.size()))
      return Fail(Code::kInternal, "is to be settled, and was not written whole",
                  "please report this");
    SavedPiece piece{cell, saved.value_or(Crc32c())};
    if (!saved) {
      piece.crc32c = CrcOf(i, c);
      CKPT_TRY_VOID(scratch_->Save(piece, BytesOf(i, cell)));
      const std::lock_guard lock(mutex_);
      cells_[c].saved = piece.crc32c;
    }
    receipt.pieces.push_back(piece);
    return {};
  }

  std::optional<Crc32c> Saved(size_t c) {
    const std::lock_guard lock(mutex_);
    return cells_[c].saved;
  }

  bool IsFilled(size_t c) const { return cells_[c].filled_bytes == layout_.cells[c].size(); }

  // From what is known of the parts and pieces. kInternal for a gap.
  Result<Crc32c> WholeCrc() {
    Crc32c whole;
    for (size_t i = 0; i < parts_.size(); ++i) {
      const std::lock_guard lock(mutex_);
      if (parts_[i].filled_bytes == layout_.parts[i].size() ||
          parts_[i].state == Part::State::kThere) {
        whole.Append(parts_[i].crc32c);
        continue;
      }
      for (size_t c = layout_.first_cell[i]; c < layout_.first_cell[i + 1]; ++c) {
        if (!IsFilled(c) && !cells_[c].saved)
          return Result<Crc32c>(
                     Fail(Code::kInternal,
                          fmt::format("{} of {} bytes were written", cells_[c].filled_bytes.load(),
                                      layout_.cells[c].size()),
                          "please report this"))
              .map_error(Where("byte", ToString(layout_.cells[c])))
              .map_error(client_.At(object_));
        whole.Append(IsFilled(c) ? CrcOf(i, c) : *cells_[c].saved);
      }
    }
    return whole;
  }

  // Parts of which some cells lie in the scratch folder only are filled up and sent.
  Result<void> Gather() {
    for (size_t i = 0; i < parts_.size() && !is_gone_; ++i) {
      if (parts_[i].state != Part::State::kFilling) continue;
      CKPT_TRY_VOID(OpenBuffer(parts_[i]));
      for (size_t c = layout_.first_cell[i]; c < layout_.first_cell[i + 1]; ++c) {
        if (IsFilled(c)) continue;
        const ByteRange& cell = layout_.cells[c];
        const Crc32c saved = *Saved(c);
        CKPT_TRY(const bool is_there, scratch_->Load({cell, saved}, BytesOf(i, cell)));
        if (!is_there) {
          is_gone_ = true;
          return {};
        }
        cells_[c].crc32c = saved;
        cells_[c].is_in_order = true;
        AddFilled(i, c, cell.size());
      }
    }
    pool_->WaitForSent();
    if (is_gone_) return {};
    return Failure();
  }

  Result<ObjectMeta> Finish(const Crc32c& whole) {
    if (IsSmall()) {
      UploadBuffer nothing = UploadBuffer::OnHeap(0);
      return UploadSmall(client_, object_, parts_.empty() ? nothing : parts_[0].buffer, whole,
                         is_create_only_);
    }
    if (!is_gone_) CKPT_TRY_VOID(Gather());
    if (is_gone_) return AcceptCompleted(client_, object_, whole);
    std::vector<std::string> tags;
    tags.reserve(parts_.size());
    for (const Part& part : parts_) tags.push_back(part.tag);
    return sink_->Complete(tags, whole, is_create_only_);
  }

  // The object is there: what it was made of goes.
  void CleanUp() {
    if (sink_) sink_->Abandon();
    if (!scratch_ || (layout_.straddling == 0 && !sink_->session().is_composed)) return;
    if (const Result<void> cleared = scratch_->Clear(); !cleared)
      client_.Warn(fmt::format("{}: temporary objects may be left: {}", client_.Print(object_),
                               cleared.error().what));
  }

  void Remember(const Error& error) {
    const std::lock_guard lock(mutex_);
    if (!failure_) failure_ = error;
  }
  Result<void> Failure() {
    const std::lock_guard lock(mutex_);
    if (!failure_) return {};
    return Result<void>(Fail(*failure_)).map_error(client_.At(object_));
  }

  Client& client_;
  const std::string object_;
  const std::string name_;
  const uint64_t size_bytes_;
  const bool is_create_only_;
  const bool is_kept_;
  const PartLayout layout_;
  std::vector<Part> parts_;
  std::vector<Cell> cells_;
  std::unique_ptr<PartPool> pool_;
  std::unique_ptr<PartSink> sink_;  // none for a small object
  std::optional<Scratch> scratch_;  // of a kept one
  std::mutex mutex_;
  std::condition_variable changed_;    // of the parts
  std::optional<Error> failure_;       // the first; every later write fails with it
  std::atomic<bool> is_gone_ = false;  // the upload: completed by another, or lost
  bool is_done_ = false;
};

}  // namespace

Result<std::unique_ptr<PositionedWriter>> MakePositionedWriter(Client& client, std::string object,
                                                               std::string name,
                                                               const std::string& temporary,
                                                               uint64_t size_bytes,
                                                               const CreateOptions& options) {
  PartLayout layout = CutIntoParts(size_bytes, options.borders, client.options().part_bytes);
  auto writer = std::make_unique<GsPositionedWriter>(client, std::move(object), std::move(name),
                                                     size_bytes, options, std::move(layout));
  CKPT_TRY_VOID(writer->Open(temporary, options.session));
  return std::unique_ptr<PositionedWriter>(std::move(writer));
}

}  // namespace ckpt::gs
