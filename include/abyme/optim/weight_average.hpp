#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/_foreach_lerp_ops.h>
#include <torch/optim/optimizer.h>

#include <abyme/core/kept.hpp>
#include <abyme/optim/each_parameter.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace abyme::optim {

/// The exponential moving average of the parameters of an optimizer: average = decay * average + (1 - decay)
/// * parameter, and after the first step the parameters themselves, as PyTorch's AveragedModel with
/// get_ema_multi_avg_fn.
class WeightAverage {
public:
  /// \param decay at least 0, less than 1
  explicit WeightAverage(double decay) : decay_(decay) {}

  /// Takes a step into account.
  void update(const torch::optim::Optimizer& optimizer) {
    const at::NoGradGuard no_grad;
    std::size_t count = 0;
    each_parameter(optimizer, [&](const at::Tensor& parameter) { add(parameter, count++); });
    at::_ops::_foreach_lerp__Scalar::call(averages_, parameters_, 1 - decay_);
  }

  /// The parameters hold the averages from now on, or the weights again. Nothing is copied.
  void swap() {
    swapped_ = !swapped_;
    for (std::size_t i = 0; i < parameters_.size(); ++i) {
      const at::Tensor weight = parameters_[i].variable_data();
      parameters_[i].set_data(averages_[i]);
      averages_[i] = weight;
    }
  }
  bool swapped() const { return swapped_; }

  void save(Kept& kept) const {
    kept.data["swapped"] = swapped_;
    kept.data["count"] = averages_.size();
    for (std::size_t i = 0; i < averages_.size(); ++i) kept.add(std::to_string(i), averages_[i]);
  }
  /// \param optimizer whose parameters these are the averages of
  void load(const Kept& kept, const torch::optim::Optimizer& optimizer) {
    swapped_ = kept.data.at("swapped").as<bool>();
    const auto count = static_cast<std::size_t>(kept.data.at("count").as<std::int64_t>());
    parameters_.clear();
    averages_.clear();
    const at::NoGradGuard no_grad;
    each_parameter(optimizer, [&](const at::Tensor& parameter) {
      if (parameters_.size() == count) return;
      add(parameter, parameters_.size());
      averages_.back().copy_(kept.tensor(std::to_string(parameters_.size() - 1)));
    });
  }

  /// In the order of the optimizer; empty before the first step.
  const std::vector<at::Tensor>& parameters() const { return parameters_; }
  const std::vector<at::Tensor>& averages() const { return averages_; }

private:
  // The parameter number `place` as the optimizer has it now: it may have got new ones.
  void add(const at::Tensor& parameter, std::size_t place) {
    if (place < parameters_.size() && parameters_[place].is_same(parameter)) return;
    for (const at::Tensor& known : parameters_) {
      if (known.is_same(parameter)) return;
    }
    parameters_.push_back(parameter);
    averages_.push_back(parameter.detach().clone());
  }

  double decay_;
  bool swapped_ = false;
  std::vector<at::Tensor> parameters_, averages_;
};

}  // namespace abyme::optim
