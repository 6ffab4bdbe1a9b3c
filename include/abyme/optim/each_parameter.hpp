#pragma once

#include <ATen/core/Tensor.h>
#include <torch/optim/optimizer.h>

namespace abyme::optim {

/// Calls `visit(const at::Tensor& parameter)` for each parameter of an optimizer, group by group.
template <class Visit>
void each_parameter(const torch::optim::Optimizer& optimizer, Visit visit) {
  for (const auto& group : optimizer.param_groups()) {
    for (const at::Tensor& parameter : group.params()) visit(parameter);
  }
}

}  // namespace abyme::optim
