#include "store/gs/remove_objects.h"

#include <algorithm>
#include <future>
#include <utility>

namespace ckpt::gs {

Result<void> RemoveObjects(Client& client, std::vector<ObjectMeta> objects) {
  constexpr size_t at_once = 32;
  Result<void> result;
  for (size_t begin = 0; begin < objects.size(); begin += at_once) {
    const size_t end = std::min(objects.size(), begin + at_once);
    std::vector<std::future<Result<http::Response>>> answers;
    for (size_t i = begin; i < end; ++i)
      answers.push_back(
          client.engine().Start(client.DeleteRequest(objects[i].name, objects[i].generation)));
    for (size_t i = begin; i < end; ++i) {
      const Result<http::Response> answer = answers[i - begin].get();
      const bool is_gone = answer && (answer->status / 100 == 2 || answer->status == 404);
      if (is_gone) continue;
      // Too fast, or another generation by now: once more, alone.
      Result<bool> again = client.Delete(objects[i].name, objects[i].generation);
      if (!again && result) result = Fail(std::move(again).error());
    }
  }
  return result;
}

}  // namespace ckpt::gs
