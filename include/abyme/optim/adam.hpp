#pragma once

#include <abyme/optim/fused.hpp>

#include <ATen/ops/_fused_adam.h>
#include <ATen/ops/_fused_adamw.h>
#include <torch/optim/adam.h>
#include <torch/optim/adamw.h>

#include <cstdint>
#include <memory>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace abyme::optim {

/// What `Adam` and `AdamW` share.
template <class Self, class Stock, class StockOptions, class State>
class FusedAdam : public Fused<Self, Stock> {
public:
  explicit FusedAdam(std::vector<at::Tensor> parameters, StockOptions defaults = {},
                     FusedOptions options = {})
      : Fused<Self, Stock>(std::move(parameters), std::move(defaults), std::move(options)) {}
  explicit FusedAdam(const std::vector<torch::optim::OptimizerParamGroup>& groups, StockOptions defaults = {},
                     FusedOptions options = {})
      : Fused<Self, Stock>(groups, std::move(defaults), std::move(options)) {}

private:
  friend class Fused<Self, Stock>;
  enum Row : std::size_t { parameter_row, gradient_row, average_row, square_row, max_row, rows };
  // Tensors of one device and dtype, which one call takes.
  struct Bucket {
    FusedLists<rows> lists;
    std::vector<at::Tensor> steps;          // one float each, on the device of the parameter
    std::vector<std::int64_t> steps_there;  // what these hold
    bool on_cpu = true;
  };

  void begin() { stepped_.clear(); }
  void take_back() {
    for (void* parameter : stepped_) {
      auto& state = static_cast<State&>(*this->state_.at(parameter));
      state.step(state.step() - 1);
    }
    for (auto& [key, bucket] : buckets_) bucket.steps_there.assign(bucket.steps_there.size(), -1);
  }
  void fuse(torch::optim::OptimizerParamGroup& group) {
    auto& group_options = static_cast<StockOptions&>(group.options());
    for (auto& [key, bucket] : buckets_) bucket.lists.start();
    this->each(group, [&](const at::Tensor& parameter, const at::Tensor& gradient) {
      add(bucket_of(parameter), parameter, gradient, group_options.amsgrad());
    });
    for (auto& [key, bucket] : buckets_) {
      if (bucket.lists.size() > 0) update(bucket, group_options);
      bucket.lists.release(gradient_row);
    }
  }

  Bucket& bucket_of(const at::Tensor& parameter) {
    const std::pair key(parameter.device(), parameter.scalar_type());
    for (auto& [known, bucket] : buckets_) {
      if (known == key) return bucket;
    }
    buckets_.emplace_back(key, Bucket{});
    buckets_.back().second.on_cpu = parameter.is_cpu();
    return buckets_.back().second;
  }

  void add(Bucket& bucket, const at::Tensor& parameter, const at::Tensor& gradient, bool amsgrad) {
    auto& kept = this->state_[parameter.unsafeGetTensorImpl()];
    if (!kept) {
      auto made = std::make_unique<State>();
      made->step(0);
      made->exp_avg(at::zeros_like(parameter));
      made->exp_avg_sq(at::zeros_like(parameter));
      kept = std::move(made);
    }
    auto& state = static_cast<State&>(*kept);
    if (amsgrad && !state.max_exp_avg_sq().defined()) state.max_exp_avg_sq(at::zeros_like(parameter));
    for (at::Tensor* tensor : {&state.exp_avg(), &state.exp_avg_sq(), &state.max_exp_avg_sq()}) {
      if (tensor->defined() && tensor->strides() != parameter.strides())  // laid out anew since
        *tensor = in_order_of(parameter, *tensor);
    }
    state.step(state.step() + 1);
    stepped_.push_back(parameter.unsafeGetTensorImpl());
    const std::size_t place = bucket.lists.size();
    if (bucket.steps.size() == place) {
      bucket.steps.push_back(at::zeros({}, at::TensorOptions(at::kFloat).device(parameter.device())));
      bucket.steps_there.push_back(0);
    }
    if (bucket.on_cpu) {
      *static_cast<float*>(bucket.steps[place].mutable_data_ptr()) = static_cast<float>(state.step());
    } else if (bucket.steps_there[place] != state.step() - 1) {
      bucket.steps[place].fill_(static_cast<double>(state.step() - 1));  // one is added for all at once
    }
    bucket.steps_there[place] = state.step();
    static const at::Tensor none;
    bucket.lists.add({&parameter, &gradient, &state.exp_avg(), &state.exp_avg_sq(),
                      amsgrad ? &state.max_exp_avg_sq() : &none});
  }

  void update(Bucket& bucket, const StockOptions& of_group) {
    const FusedLists<rows>& lists = bucket.lists;
    const at::TensorList steps(bucket.steps.data(), lists.size());
    if (!bucket.on_cpu) at::_foreach_add_(steps, 1);
    const bool amsgrad = of_group.amsgrad();
    const auto [beta1, beta2] = of_group.betas();
    const auto call = [&](auto kernel, auto rate) {
      kernel(lists.row(parameter_row), lists.row(gradient_row), lists.row(average_row), lists.row(square_row),
             amsgrad ? lists.row(max_row) : at::TensorList(), steps, rate, beta1, beta2,
             of_group.weight_decay(), of_group.eps(), amsgrad, this->options().maximize, std::nullopt,
             this->found());
    };
    const at::Tensor& rate = this->options().learning_rate;
    if constexpr (std::is_same_v<Stock, torch::optim::AdamW>) {
      if (rate.defined()) call(at::_ops::_fused_adamw__tensor_lr::call, rate);
      else call(at::_ops::_fused_adamw_::call, of_group.lr());
    } else {
      if (rate.defined()) call(at::_ops::_fused_adam__tensor_lr::call, rate);
      else call(at::_ops::_fused_adam_::call, of_group.lr());
    }
  }

  std::vector<std::pair<std::pair<at::Device, at::ScalarType>, Bucket>> buckets_;
  std::vector<void*> stepped_;  // the parameters that the last step changed
};

/// Adam (Kingma and Ba 2015) through LibTorch's fused kernels. Everything that `torch::optim::Adam` takes,
/// and `maximize` and a learning rate in a tensor:
///
///     ab::optim::Adam optimizer(model->parameters(), torch::optim::AdamOptions(1e-3).weight_decay(0.01));
class Adam
    : public FusedAdam<Adam, torch::optim::Adam, torch::optim::AdamOptions, torch::optim::AdamParamState> {
public:
  using FusedAdam::FusedAdam;
};

/// Adam with decoupled weight decay (Loshchilov and Hutter 2019) through LibTorch's fused kernels; see
/// `Adam`.
class AdamW : public FusedAdam<AdamW, torch::optim::AdamW, torch::optim::AdamWOptions,
                               torch::optim::AdamWParamState> {
public:
  using FusedAdam::FusedAdam;
};

}  // namespace abyme::optim
