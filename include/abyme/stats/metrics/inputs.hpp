#pragma once

#include <ATen/core/Tensor.h>

#include <abyme/core/error.hpp>
#include <abyme/core/value.hpp>

#include <algorithm>
#include <cstdint>
#include <string_view>
#include <utility>

namespace abyme::metrics {

/// What a model says about classes, flat, and the true ones.
struct Predictions {
  at::Tensor outputs;    ///< [n, classes]: scores; [n]: one score each, or an int64: the class itself
  at::Tensor targets;    ///< [n] int64
  std::int64_t classes;  ///< 2 for one score each; 0: not known, since outputs are classes themselves

  /// The class that is predicted for each, [n] int64: of the highest score, the first of equal ones on the
  /// CPU; of one score whether it is above the threshold.
  at::Tensor predicted(double threshold) const {
    if (outputs.dim() == 2) return outputs.argmax(1);
    return outputs.is_floating_point() ? outputs.gt(threshold).to(at::kLong) : outputs;
  }
};

/// \throws Error on the CPU where an index is not one of the classes; a device is not waited for
inline void check_classes(std::string_view who, std::string_view what, const at::Tensor& indices,
                          std::int64_t classes) {
  if (!indices.is_cpu()) return;
  const at::Tensor flat = indices.contiguous();
  const auto* first = flat.const_data_ptr<std::int64_t>();
  const auto* wrong = std::find_if(first, first + flat.numel(),
                                   [&](std::int64_t index) { return index < 0 || index >= classes; });
  if (wrong != first + flat.numel()) {
    throw Error(fmt::format("{}: {} must be classes from 0 to {}, got {}; count classes from 0, and tell how "
                            "many there are",
                            who, what, classes - 1, *wrong));
  }
}

inline void check_devices(std::string_view who, const at::Tensor& outputs, const at::Tensor& targets) {
  if (!outputs.defined() || !targets.defined())
    throw Error(
        fmt::format("{}: outputs and targets must be tensors, got an undefined one; compute it first", who));
  if (outputs.device() != targets.device())
    throw Error(fmt::format("{}: outputs and targets must lie on one device, got {} and {}; move one of them",
                            who, outputs.device().str(), targets.device().str()));
}

/// Whole numbers of any dtype as int64, flat. \throws Error on the CPU where one is not whole
inline at::Tensor class_indices(std::string_view who, const at::Tensor& targets) {
  const at::Tensor indices = targets.to(at::kLong);
  if (targets.is_floating_point() && targets.is_cpu() && !indices.to(targets.scalar_type()).equal(targets))
    throw Error(fmt::format("{}: targets must be classes, got numbers that are not whole; pass the index of "
                            "the class",
                            who));
  return indices.reshape({-1});
}

/// Takes what class metrics are updated with. \throws Error as `check_classes`, and where shapes don't fit
inline Predictions predictions(std::string_view who, const at::Tensor& outputs, const at::Tensor& targets) {
  check_devices(who, outputs, targets);
  const std::int64_t dim = outputs.dim(), last = dim > 0 ? outputs.size(-1) : 1;
  const bool is_scores = outputs.is_floating_point();
  if (is_scores && dim > 1 && last > 1) {
    if (outputs.sizes().slice(0, static_cast<std::size_t>(dim) - 1) == targets.sizes()) {
      Predictions made{outputs.reshape({-1, last}), class_indices(who, targets), last};
      check_classes(who, "targets", made.targets, last);
      return made;
    }
  } else if (is_scores ? outputs.numel() == targets.numel() : outputs.sizes() == targets.sizes()) {
    Predictions made{outputs.reshape({-1}), class_indices(who, targets), is_scores ? 2 : 0};
    if (is_scores) check_classes(who, "targets", made.targets, 2);
    else made.outputs = made.outputs.to(at::kLong);
    return made;
  }
  throw Error(fmt::format("{}: targets must have one class for each row of outputs, got {} for outputs {}; "
                          "the last dimension of outputs is that of the classes",
                          who, shape_text(targets), shape_text(outputs)));
}

/// Outputs and targets of one shape in float64, [n] or [n, ...]. One of [n] fits one of [n, 1].
/// \throws Error where the shapes differ otherwise
inline std::pair<at::Tensor, at::Tensor> pairs(std::string_view who, const at::Tensor& outputs,
                                               const at::Tensor& targets) {
  check_devices(who, outputs, targets);
  const auto without_last_1 = [](const at::Tensor& tensor) {
    if (tensor.dim() == 0) return tensor.reshape({1});
    return tensor.dim() > 1 && tensor.size(-1) == 1 ? tensor.squeeze(-1) : tensor;
  };
  std::pair<at::Tensor, at::Tensor> made{without_last_1(outputs), without_last_1(targets)};
  if (made.first.sizes() != made.second.sizes()) {
    throw Error(fmt::format("{}: outputs and targets must have one shape, got {} and {}; reshape one of them",
                            who, shape_text(outputs), shape_text(targets)));
  }
  return {made.first.to(at::kDouble), made.second.to(at::kDouble)};
}

/// A weight for each sample, [n], also of one for all; undefined where none were given. \throws Error where
/// there are not n
inline at::Tensor flat_weights(std::string_view who, const at::Tensor& weights, std::int64_t samples) {
  if (!weights.defined()) return weights;
  if (weights.numel() == 1) return weights.reshape({1}).expand({samples});
  if (weights.numel() != samples) {
    throw Error(fmt::format("{}: weights must be one for each of the {} samples, got {}; a sample is a row",
                            who, samples, shape_text(weights)));
  }
  return weights.reshape({-1});
}

}  // namespace abyme::metrics
