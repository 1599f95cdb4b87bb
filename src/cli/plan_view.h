#pragma once

#include <string>

#include "plan/plan.h"

namespace ckpt {

/// The plan as a short table for people.
std::string PrintPlan(const Plan& plan);
/// The plan as one JSON object.
std::string PlanJson(const Plan& plan);

/// Warnings on standard error, one line each.
void PrintWarnings(const std::vector<std::string>& warnings);

}  // namespace ckpt
