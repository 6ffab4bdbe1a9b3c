#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/_foreach_clamp_max_ops.h>
#include <ATen/ops/_foreach_clamp_min_ops.h>
#include <ATen/ops/_foreach_mul_ops.h>
#include <ATen/ops/_foreach_norm_ops.h>
#include <ATen/ops/linalg_vector_norm_ops.h>
#include <ATen/ops/stack_ops.h>
#include <torch/optim/optimizer.h>

#include <abyme/core/value.hpp>
#include <abyme/optim/each_parameter.hpp>

#include <cstddef>
#include <limits>
#include <vector>

namespace abyme::optim {

/// The gradients of an optimizer's parameters, gathered once a step into a list that is kept, and what is
/// done with all of them at once. Nothing here waits for a device.
class Gradients {
public:
  /// Takes those that are there.
  void gather(const torch::optim::Optimizer& optimizer) {
    parameters_.clear();
    gradients_.clear();
    each_parameter(optimizer, [this](const at::Tensor& parameter) {
      const at::Tensor& gradient = parameter.grad();
      if (!gradient.defined()) return;
      parameters_.push_back(&parameter);
      gradients_.push_back(gradient);
    });
  }
  /// Lets go of them: they belong to the parameters.
  void release() { gradients_.clear(); }

  bool empty() const { return gradients_.empty(); }
  at::TensorList list() const { return gradients_; }
  /// How many were gathered last.
  std::size_t count() const { return parameters_.size(); }
  const at::Tensor& parameter(std::size_t index) const { return *parameters_[index]; }

  void scale(double factor) { at::_ops::_foreach_mul__Scalar::call(gradients_, factor); }

  /// Limits every element to [-most, most], as PyTorch's clip_grad_value_.
  void clip_value(double most) {
    at::_ops::_foreach_clamp_max__Scalar::call(gradients_, most);
    at::_ops::_foreach_clamp_min__Scalar::call(gradients_, -most);
  }

  /// Scales all by most / (norm + 1e-6) where that is less than 1, as PyTorch's clip_grad_norm_.
  /// \return the norm of all before, a tensor without dimensions on the device of the first
  at::Tensor clip_norm(double most) {
    if (empty()) return {};
    const at::Tensor norm = at::_ops::linalg_vector_norm::call(at::_ops::stack::call(norms(2), 0), 2, {},
                                                               /*keepdim=*/false, {});
    if (norm.is_cpu()) {  // reading costs nothing there, so what is within the limit is not multiplied by 1
      const double factor = most / (number(norm) + 1e-6);
      if (!(factor >= 1)) scale(factor);
    } else {
      at::_ops::_foreach_mul__Tensor::call(gradients_, norm.add(1e-6).reciprocal().mul(most).clamp_max(1));
    }
    return norm;
  }

  /// The largest magnitude in each, or NaN where there is one in it: each a tensor without dimensions, on the
  /// device of the first.
  std::vector<at::Tensor> largest() const { return norms(std::numeric_limits<double>::infinity()); }

private:
  std::vector<at::Tensor> norms(double order) const {
    std::vector<at::Tensor> norms = at::_ops::_foreach_norm_Scalar::call(gradients_, order, {});
    for (at::Tensor& norm : norms) norm = norm.to(norms[0].options());
    return norms;
  }

  std::vector<const at::Tensor*> parameters_;
  std::vector<at::Tensor> gradients_;
};

}  // namespace abyme::optim
