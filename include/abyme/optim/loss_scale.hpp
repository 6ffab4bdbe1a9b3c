#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/_amp_foreach_non_finite_check_and_unscale_ops.h>
#include <ATen/ops/_amp_update_scale_ops.h>
#include <ATen/ops/full.h>
#include <abyme/core/kept.hpp>
#include <abyme/optim/gradients.hpp>

#include <cstdint>
#include <utility>

namespace abyme::optim {

/// The factor on the loss that keeps gradients of float16 computations from vanishing, as PyTorch's
/// GradScaler: halved when a gradient overflows (that step is left out), doubled after `interval` steps
/// without. It lives on the model's device, and nothing here waits for that.
class LossScale {
public:
  LossScale(double first, std::int64_t interval) : first_(first), interval_(interval) {}

  /// The loss times the scale, in float32.
  at::Tensor scaled(const at::Tensor& loss) {
    if (!scale_.defined()) {
      scale_ = at::full({}, first_, at::TensorOptions(at::kFloat).device(loss.device()));
      growth_ = at::full({}, 0, at::TensorOptions(at::kInt).device(loss.device()));
    }
    return loss.mul(scale_);
  }

  /// Divides the gradients by the scale, and multiplies them with `factor`.
  /// \return [1], float32: 1 where one of them is not finite, otherwise 0
  at::Tensor unscale(const Gradients& gradients, double factor) {
    at::Tensor found = at::full({1}, 0, scale_.options());
    at::_ops::_amp_foreach_non_finite_check_and_unscale_::call(
        gradients.list(), found, scale_.to(at::kDouble).reciprocal().mul(factor).to(at::kFloat));
    return found;
  }

  /// \param found what `unscale` returned
  void update(const at::Tensor& found) {
    constexpr double growth = 2, backoff = 0.5;
    at::_ops::_amp_update_scale_::call(scale_, growth_, found, growth, backoff, interval_);
  }

  void save(Kept& kept) const {
    kept.add("scale", scale_);
    kept.add("growth", growth_);
  }
  void load(const Kept& kept, at::Device device) {
    scale_ = kept.tensor("scale");
    growth_ = kept.tensor("growth");
    if (scale_.defined()) scale_ = scale_.to(device);
    if (growth_.defined()) growth_ = growth_.to(device);
  }

  /// Without dimensions, float32; undefined before the first loss.
  const at::Tensor& scale() const { return scale_; }

private:
  double first_;
  std::int64_t interval_;
  at::Tensor scale_, growth_;  // growth: steps without an overflow since the scale changed
};

}  // namespace abyme::optim
