#include "tests/store/store_kind.h"

#include <chrono>
#include <cstdlib>
#include <optional>
#include <stdexcept>
#include <utility>

#include "store/file/file_store.h"
#include "store/gs/gs_store.h"
#include "store/null/null_store.h"
#include "tests/store/faulty_store.h"
#include "tests/store/temp_folder.h"
#include "tests/stubs/started.h"

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

// A bucket of the stub's, which starts with the first store that is opened; or "bucket" of another
// server, which CKPT_GS_SERVER names.
class GsBucket {
 public:
  std::unique_ptr<Store> Open(const std::string& folder) {
    const std::string origin = Origin();
    http::EngineOptions engine_options;
    engine_options.first_delay = std::chrono::milliseconds(5);
    engine_options.deadline = std::chrono::seconds(20);
    engine_options.trusted_origins = {origin};
    auto engine = http::Engine::Make(std::move(engine_options));
    if (!engine) throw std::runtime_error(engine.error().Print());
    Result<GsOptions> options = GsOptionsFromEnvironment(
        [&](const char* name) -> std::optional<std::string> {
          if (std::string(name) == "STORAGE_EMULATOR_HOST") return origin;
          return std::nullopt;
        },
        *engine);
    Result<Uri> root = Uri::Parse("gs://bucket" + folder);
    if (!root || !options) throw std::runtime_error("no address for the stub");
    Result<std::unique_ptr<Store>> store = OpenGsStore(*std::move(root), *std::move(options));
    if (!store) throw std::runtime_error(store.error().Print());
    return *std::move(store);
  }

 private:
  std::string Origin() {
    const char* const server = std::getenv("CKPT_GS_SERVER");  // NOLINT(concurrency-mt-unsafe)
    if (server != nullptr) return server;
    if (!stub_) stub_.emplace("gcs", std::vector<std::string>{"--bucket", "bucket"});
    return stub_->origin();
  }

  std::optional<StartedStub> stub_;
};

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
  null.keeps_unfinished = false;
  kinds.push_back(null);
  StoreKind gs;
  gs.name = "Gs";
  gs.parent = TempFolder::InMemory();  // its name alone is used: a prefix for each test
  gs.open = [bucket = std::make_shared<GsBucket>()](const std::string& folder) {
    return bucket->Open(folder);
  };
  gs.is_part_shared = true;
  kinds.push_back(gs);
  return kinds;
}

}  // namespace ckpt
