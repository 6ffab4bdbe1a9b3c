#pragma once

#include <abyme/stats/metrics/sums.hpp>

#include <optional>

namespace abyme::metrics {

/// The mean of numbers, each with a weight. Its `value` is nothing while the weights add up to 0. Numbers on
/// a device are added up there, in float64.
class Mean {
public:
  void update(double value, double weight = 1) {
    if (weight == 0) return;
    sum_ += value * weight;
    weight_ += weight;
  }
  /// \param values of any shape and dtype \param weight of each of them
  void update(const at::Tensor& values, double weight = 1) {
    if (values.is_cpu() && values.numel() == 1) return update(number(values), weight);
    const NoGraph guard;
    const at::Tensor sum = values.sum(at::kDouble);
    sums_.add(weight == 1 ? sum : sum.mul(weight));
    weight_ += weight * static_cast<double>(values.numel());
  }
  /// \param weights one for each value, of the same shape; undefined: 1 each
  void update_each(const at::Tensor& values, const at::Tensor& weights) {
    if (!weights.defined()) return update(values);
    const NoGraph guard;
    sums_.add(values.to(at::kDouble).mul(weights).sum());
    weights_.add(weights.sum(at::kDouble));
  }
  void merge(const Mean& other) {
    sum_ += other.sum_;
    weight_ += other.weight_;
    sums_.add(other.sums_);
    weights_.add(other.weights_);
  }
  void reset() { *this = {}; }

  std::optional<double> value() const {
    const double weight = weight_ + weights_.number();
    return weight != 0 ? std::optional((sum_ + sums_.number()) / weight) : std::nullopt;
  }

  void save(Kept& kept) const {
    keep(kept, "sum", sum_);
    keep(kept, "weight", weight_);
    keep(kept, "sums", sums_);
    keep(kept, "weights", weights_);
  }
  void load(const Kept& kept) {
    put_back(kept, "sum", sum_);
    put_back(kept, "weight", weight_);
    put_back(kept, "sums", sums_);
    put_back(kept, "weights", weights_);
  }

private:
  double sum_ = 0;  // of numbers that are known here
  double weight_ = 0;
  Sums sums_;  // of what lies on a device, one element
  Sums weights_;
};

}  // namespace abyme::metrics
