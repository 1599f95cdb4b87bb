#include "run/judge_source.h"

#include <algorithm>
#include <vector>

namespace ckpt {

Result<void> JudgeSource(SourceChecks& checks, Store& source, const EachRecord& each,
                         const std::function<Result<void>()>& forget) {
  CKPT_TRY_VOID(each([&](const BundleRecord& record) -> Result<void> {
    checks.Keep(record.checks);
    return {};
  }));
  CKPT_TRY_VOID(checks.ReadTheRest(source));
  const Result<SourceChecks::Verdict> verdict = checks.Finish();
  if (verdict) return {};
  Error error = verdict.error();
  const Result<void> forgotten = forget ? forget() : Result<void>();
  if (!forgotten) {
    error.details.push_back("what was made of it could not be removed: " + forgotten.error().what);
    error.remedy = "remove what was made of it with ckpt clean DEST, then run again";
  }
  return Fail(std::move(error));
}

Result<void> ForgetDamaged(const SourceChecks& checks, const EachRecord& each, Journal& journal) {
  const std::vector<uint32_t> damaged = checks.Damaged();
  const auto is_damaged = [&](const CheckPart& part) {
    return std::binary_search(damaged.begin(), damaged.end(), part.check);
  };
  std::vector<uint32_t> numbers = {0};
  CKPT_TRY_VOID(each([&](const BundleRecord& record) -> Result<void> {
    if (record.number > 0 && std::any_of(record.checks.begin(), record.checks.end(), is_damaged))
      numbers.push_back(record.number);
    return {};
  }));
  return journal.Drop(numbers);
}

}  // namespace ckpt
