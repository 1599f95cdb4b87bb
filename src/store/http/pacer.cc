#include "store/http/pacer.h"

#include <algorithm>

#include "base/check.h"

namespace ckpt::http {

void Pacer::End(Verdict verdict, Time begun, Time now) {
  CKPT_CHECK(under_way_ > 0);
  --under_way_;
  if (verdict == Verdict::kTooMany && begun >= halved_) {
    limit_ = std::max(1U, limit_ / 2);
    halved_ = now;
    successes_ = 0;
  }
  if (verdict != Verdict::kSuccess || limit_ == most_ || ++successes_ < kSuccessesToGrow) return;
  ++limit_;
  successes_ = 0;
}

}  // namespace ckpt::http
