#pragma once

#include <abyme/optim/fused.hpp>

#include <ATen/ops/_fused_sgd.h>
#include <torch/optim/sgd.h>

#include <memory>
#include <utility>
#include <vector>

namespace abyme::optim {

/// Stochastic gradient descent, with momentum where asked, through LibTorch's fused kernels. Everything that
/// `torch::optim::SGD` takes, and `maximize` and a learning rate in a tensor:
///
///     ab::optim::SGD optimizer(model->parameters(), torch::optim::SGDOptions(0.01).momentum(0.9));
class SGD : public Fused<SGD, torch::optim::SGD> {
public:
  explicit SGD(std::vector<at::Tensor> parameters, torch::optim::SGDOptions defaults,
               FusedOptions options = {})
      : Fused(std::move(parameters), std::move(defaults), std::move(options)) {}
  explicit SGD(const std::vector<torch::optim::OptimizerParamGroup>& groups,
               torch::optim::SGDOptions defaults, FusedOptions options = {})
      : Fused(groups, std::move(defaults), std::move(options)) {}

private:
  friend class Fused<SGD, torch::optim::SGD>;
  enum Row : std::size_t { parameter_row, gradient_row, momentum_row, rows };
  struct Bucket {  // of one device and dtype, all with or all without momentum from before
    at::Device device;
    at::ScalarType dtype;
    bool is_first_step;
    FusedLists<rows> lists = {};
  };

  void begin() { first_steps_.clear(); }
  void take_back() {  // momentum begins with the first gradient, which is still to come
    for (void* parameter : first_steps_) state_.erase(parameter);
  }
  void fuse(torch::optim::OptimizerParamGroup& group) {
    const auto& group_options = static_cast<torch::optim::SGDOptions&>(group.options());
    for (Bucket& bucket : buckets_) bucket.lists.start();
    each(group, [&](const at::Tensor& parameter, const at::Tensor& gradient) {
      if (group_options.momentum() == 0) {
        static const at::Tensor none;
        return bucket_of(parameter, false).lists.add({&parameter, &gradient, &none});
      }
      auto& kept = state_[parameter.unsafeGetTensorImpl()];
      const bool is_first_step = !kept;
      if (is_first_step) {
        kept = std::make_unique<torch::optim::SGDParamState>();
        first_steps_.push_back(parameter.unsafeGetTensorImpl());
      }
      at::Tensor& momentum = static_cast<torch::optim::SGDParamState&>(*kept).momentum_buffer();
      if (!momentum.defined()) momentum = at::zeros_like(parameter);
      if (momentum.strides() != parameter.strides()) momentum = in_order_of(parameter, momentum);
      bucket_of(parameter, is_first_step).lists.add({&parameter, &gradient, &momentum});
    });
    for (Bucket& bucket : buckets_) {
      if (bucket.lists.size() > 0) update(bucket, group_options);
      bucket.lists.release(gradient_row);
    }
  }

  Bucket& bucket_of(const at::Tensor& parameter, bool is_first_step) {
    for (Bucket& bucket : buckets_) {
      if (bucket.device == parameter.device() && bucket.dtype == parameter.scalar_type() &&
          bucket.is_first_step == is_first_step)
        return bucket;
    }
    buckets_.push_back({parameter.device(), parameter.scalar_type(), is_first_step});
    return buckets_.back();
  }

  void update(const Bucket& bucket, const torch::optim::SGDOptions& of_group) const {
    const double momentum = of_group.momentum();
    const auto call = [&](auto kernel, auto rate) {
      kernel(bucket.lists.row(parameter_row), bucket.lists.row(gradient_row),
             momentum != 0 ? bucket.lists.row(momentum_row) : at::TensorList(), of_group.weight_decay(),
             momentum, rate, of_group.dampening(), of_group.nesterov(), options().maximize,
             bucket.is_first_step, std::nullopt, found());
    };
    if (options().learning_rate.defined())
      call(at::_ops::_fused_sgd__tensor_lr::call, options().learning_rate);
    else call(at::_ops::_fused_sgd_::call, of_group.lr());
  }

  std::vector<Bucket> buckets_;
  std::vector<void*> first_steps_;  // the parameters of which the last step was the first
};

}  // namespace abyme::optim
