#pragma once

#include <functional>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "store/gs/gs_error.h"
#include "store/gs/gs_options.h"
#include "store/gs/object_json.h"

namespace ckpt::gs {

/// Thread-safe. One bucket's API: makes requests, sends them, turns statuses into errors. Objects
/// go by their whole names.
class Client {
 public:
  Client(std::string bucket, GsOptions options);

  const GsOptions& options() const { return options_; }
  http::Engine& engine() { return *options_.engine; }
  MemoryBudget& budget() { return *options_.budget; }
  std::stop_token stop() const { return options_.engine->options().stop; }
  void Warn(std::string_view text) const;

  /// "/storage/v1/b/BUCKET/o" + `rest` (encoded), with credentials.
  http::Request Json(std::string method, std::string_view rest, std::string query) const;
  /// "/upload/storage/v1/b/BUCKET/o": makes an object.
  http::Request Upload(std::string query) const;
  /// "/BUCKET/OBJECT" of the XML API; the bucket itself where `object` is "".
  http::Request Xml(std::string method, std::string_view object, std::string query) const;

  /// Like the engine's, but a 403 that means "too fast" is tried again.
  Result<http::Response> Send(const http::Request& request);
  /// The error of a status that is no success. A denial names who was denied, which may wait.
  Error Explain(const http::Response& response, const Deed& deed);
  /// For the engine's threads: names them only if that is known.
  Error ExplainAtOnce(const http::Response& response, const Deed& deed) const;

  Result<std::optional<ObjectMeta>> Find(std::string_view object);
  Result<ListPage> List(std::string_view prefix, std::string_view page_token);
  /// All pages. kInterrupted when `stop` asks for it.
  Result<std::vector<ObjectMeta>> ListAll(std::string_view prefix, const std::stop_token& stop);
  /// Of that generation; of any, where it is "": only for names that nobody else uses.
  http::Request DeleteRequest(std::string_view object, std::string_view generation) const;
  /// False where that generation is not there any more: success too, for those who want it gone.
  Result<bool> Delete(std::string_view object, std::string_view generation);

  std::string Print(std::string_view object) const;
  /// For map_error.
  std::function<Error(Error)> At(std::string_view object) const;

 private:
  http::Request Make(std::string method, std::string path, std::string query) const;

  const std::string bucket_;
  GsOptions options_;
  MemoryBudget own_budget_;  // where the options name none
  mutable std::mutex mutex_;
  std::optional<std::string> principal_;  // once somebody asked
  std::string base_;                      // the endpoint's path, without '/' at its end
};

}  // namespace ckpt::gs
