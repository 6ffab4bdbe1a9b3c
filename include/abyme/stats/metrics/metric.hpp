#pragma once

#include <ATen/core/Tensor.h>

#include <abyme/core/kept.hpp>

#include <concepts>
#include <optional>

namespace abyme::metrics {

/// `update(outputs, targets)`: tensors, in whatever form the metric takes them.
template <class M>
concept TakesPredictions = requires(M& metric, const at::Tensor& tensor) { metric.update(tensor, tensor); };
/// `update(outputs, targets, weights)`: also a weight for each sample.
template <class M>
concept TakesWeights =
    requires(M& metric, const at::Tensor& tensor) { metric.update(tensor, tensor, tensor); };
/// `update(number, weight)`.
template <class M>
concept TakesNumber = requires(M& metric) { metric.update(1.0, 1.0); };
/// `update(number, weight)`, the number also as a tensor of one element, so that no device is waited for.
template <class M>
concept TakesTensor = requires(M& metric, const at::Tensor& number) { metric.update(number, 1.0); };

/// What gathers batches and has a `value`, a number or nothing. A snapshot can hold it: it has `save` and
/// `load`, or is an aggregate of numbers, tensors and such.
template <class M>
concept Metric = requires(const M& metric) {
  { metric.value() } -> std::convertible_to<std::optional<double>>;
} && (TakesPredictions<M> || TakesNumber<M>)&&std::copyable<M> && Keepable<M>;

}  // namespace abyme::metrics
