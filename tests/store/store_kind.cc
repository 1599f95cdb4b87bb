#include "tests/store/store_kind.h"

#include <stdexcept>
#include <utility>

#include "store/file/file_store.h"
#include "store/null/null_store.h"
#include "tests/store/faulty_store.h"
#include "tests/store/temp_folder.h"

namespace ckpt {
namespace {

std::unique_ptr<Store> OpenFiles(const std::string& folder, IoMode mode) {
  Result<Uri> root = Uri::Parse(folder);
  if (!root) throw std::runtime_error(root.error().Print());
  Result<std::unique_ptr<Store>> store =
      OpenFileStore(*std::move(root), {.io_mode = mode, .io_threads = 3});
  if (!store) throw std::runtime_error(store.error().Print());
  return *std::move(store);
}

StoreKind FileKind(std::string name, std::string parent, IoMode mode) {
  StoreKind kind;
  kind.name = std::move(name);
  kind.parent = std::move(parent);
  kind.open = [mode](const std::string& folder) { return OpenFiles(folder, mode); };
  kind.is_part_shared = true;
  return kind;
}

}  // namespace

std::vector<StoreKind> AllStoreKinds() {
  std::vector<StoreKind> kinds;
  kinds.push_back(FileKind("FileAuto", TempFolder::OnDisk(), IoMode::kAuto));
  kinds.push_back(FileKind("FileDirect", TempFolder::OnDisk(), IoMode::kDirect));
  kinds.push_back(FileKind("FileBuffered", TempFolder::OnDisk(), IoMode::kBuffered));
  kinds.push_back(FileKind("FileInMemory", TempFolder::InMemory(), IoMode::kAuto));
  kinds.push_back(FileKind("FaultyWithoutFaults", TempFolder::OnDisk(), IoMode::kAuto));
  kinds.back().open = [](const std::string& folder) {
    return std::make_unique<FaultyStore>(OpenFiles(folder, IoMode::kAuto));
  };
  StoreKind null;
  null.name = "Null";
  null.parent = TempFolder::InMemory();
  null.open = [](const std::string&) { return OpenNullStore(); };
  null.is_readable = false;
  kinds.push_back(null);
  return kinds;
}

}  // namespace ckpt
