#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros_like.h>
#include <torch/optim/optimizer.h>

#include <abyme/core/error.hpp>
#include <abyme/core/value.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

namespace abyme::optim {

/// What the optimizers here can do beside their LibTorch twins.
struct FusedOptions {
  bool maximize = false;  ///< climb the loss in place of descending it
  /// One element, float32, on the parameters' device: takes the place of every group's learning rate.
  at::Tensor learning_rate = {};
};

/// Tensors that one call of a fused kernel updates: row r holds one of each parameter's tensors. The lists
/// are kept from step to step, so that a step allocates nothing and counts few references.
///
/// The kernels copy what is not contiguous; here they are handed the storage of such a tensor, in its own
/// order, as a vector: what they do is elementwise.
template <std::size_t Rows>
class FusedLists {
public:
  void start() { size_ = 0; }
  std::size_t size() const { return size_; }

  /// \param tensors all with the parameter's strides, dense, or undefined
  void add(const std::array<const at::Tensor*, Rows>& tensors) {
    for (std::size_t row = 0; row < Rows; ++row) {
      std::vector<at::Tensor>& list = rows_[row];
      if (list.size() == size_) list.emplace_back();
      const at::Tensor& given = *tensors[row];
      at::Tensor& kept = list[size_];
      if (!given.defined() || given.is_contiguous()) {
        if (!kept.is_same(given)) kept = given;
      } else if (!kept.defined() || kept.const_data_ptr() != given.const_data_ptr() ||
                 kept.numel() != given.numel()) {
        kept = given.as_strided({given.numel()}, {1}, given.storage_offset());
      }
    }
    ++size_;
  }

  at::TensorList row(std::size_t row) const { return at::TensorList(rows_[row].data(), size_); }
  /// Lets go of the tensors of a row: gradients belong to the parameters.
  void release(std::size_t row) {
    for (at::Tensor& tensor : rows_[row]) tensor.reset();
  }

private:
  std::array<std::vector<at::Tensor>, Rows> rows_;
  std::size_t size_ = 0;
};

/// An optimizer that leaves out a step where a number on the device says so, which nobody on the host reads.
class CanSkip {
public:
  virtual ~CanSkip() = default;
  /// The next step changes nothing where `found` is not 0 by then. \param found one float32 number, on the
  /// parameters' device
  virtual void skip_where(at::Tensor found) = 0;
  /// Says that the step before changed nothing, which is needed before the next one.
  virtual void step_was_skipped() = 0;
};

/// Whether the fused kernels take this parameter and its gradient.
inline bool fits_fused(const at::Tensor& parameter, const at::Tensor& gradient) {
  const auto dtype = parameter.scalar_type();
  return (parameter.is_cpu() || parameter.is_cuda()) && parameter.layout() == at::kStrided &&
         parameter.is_non_overlapping_and_dense() && gradient.layout() == at::kStrided &&
         gradient.scalar_type() == dtype && gradient.device() == parameter.device() &&
         (dtype == at::kFloat || dtype == at::kDouble || dtype == at::kHalf || dtype == at::kBFloat16);
}

/// `tensor` in the memory order of `parameter`: itself where it has it.
inline at::Tensor in_order_of(const at::Tensor& parameter, const at::Tensor& tensor) {
  if (!tensor.defined() || tensor.strides() == parameter.strides()) return tensor;
  return at::empty_like(parameter, parameter.options().dtype(tensor.scalar_type())).copy_(tensor);
}

/// A LibTorch optimizer whose step goes through LibTorch's fused kernels: one call for all parameters of a
/// group, on the CPU and on CUDA. Options, parameter groups, state and archives are those of the twin,
/// `Stock`, so that one loads what the other saved. Parameters that the kernels don't take (sparse gradients,
/// other dtypes) are left to the twin's own step.
///
/// \tparam Self has `void begin()`, which starts a step, `void fuse(Group& group)`, which collects the
/// group's parameters and calls the kernel, and `void take_back()`, which undoes what a skipped step counted
template <class Self, class Stock>
class Fused : public Stock, public CanSkip {
public:
  template <class Parameters, class StockOptions>
  Fused(Parameters parameters, StockOptions defaults, FusedOptions options)
      : Stock(std::move(parameters), std::move(defaults)), options_(std::move(options)) {
    const at::Tensor& rate = options_.learning_rate;
    if (rate.defined() && (rate.numel() != 1 || rate.scalar_type() != at::kFloat)) {
      throw Error("a learning rate given as a tensor must be one float32 number; make it with "
                  "torch::tensor(0.001f)");
    }
  }

  /// One update with the gradients that are there; parameters without one stay as they are. \param closure
  /// computes the loss and the gradients first, and its result is returned.
  at::Tensor step(torch::optim::Optimizer::LossClosure closure = nullptr) override {
    at::Tensor loss;
    if (closure) {
      const at::AutoGradMode gradients(true);
      loss = closure();
    }
    const at::NoGradGuard no_grad;
    left_.clear();
    static_cast<Self&>(*this).begin();
    for (auto& group : this->param_groups_) static_cast<Self&>(*this).fuse(group);
    if (!left_.empty()) step_left();
    found_.reset();
    return loss;
  }

  void skip_where(at::Tensor found) override { found_ = std::move(found); }
  void step_was_skipped() override { static_cast<Self&>(*this).take_back(); }

protected:
  /// Calls `take(parameter, gradient)` for each parameter of a group that the kernels take, `at::Tensor`s in
  /// one memory order, and remembers the others.
  template <class Take>
  void each(torch::optim::OptimizerParamGroup& group, Take take) {
    for (at::Tensor& parameter : group.params()) {
      at::Tensor& gradient = parameter.mutable_grad();
      if (!gradient.defined()) continue;
      if (!fits_fused(parameter, gradient)) {
        left_.push_back(parameter);
      } else if (gradient.strides() == parameter.strides()) {
        take(parameter, gradient);
      } else {
        take(parameter, in_order_of(parameter, gradient));
      }
    }
  }

  const FusedOptions& options() const { return options_; }
  /// For the kernel: the number that says whether it does nothing.
  std::optional<at::Tensor> found() const { return found_; }

private:
  // The twin's step, with all gradients hidden but those that are left.
  void step_left() {
    if (found_ && number(*found_) != 0) return;
    if (options_.maximize || options_.learning_rate.defined()) {
      throw Error("maximize and a learning rate in a tensor need dense gradients of a floating dtype, got "
                  "others; leave these options out");
    }
    std::vector<std::pair<at::Tensor, at::Tensor>> hidden;
    for (auto& group : this->param_groups_) {
      for (at::Tensor& parameter : group.params()) {
        bool is_left = false;
        for (const at::Tensor& each : left_) is_left = is_left || each.is_same(parameter);
        if (!is_left && parameter.grad().defined())
          hidden.emplace_back(parameter, std::exchange(parameter.mutable_grad(), {}));
      }
    }
    const auto put_back = [&hidden] {
      for (auto& [parameter, gradient] : hidden) parameter.mutable_grad() = std::move(gradient);
    };
    try {
      Stock::step();
    } catch (...) {
      put_back();
      throw;
    }
    put_back();
  }

  FusedOptions options_;
  std::optional<at::Tensor> found_;
  std::vector<at::Tensor> left_;
};

}  // namespace abyme::optim
