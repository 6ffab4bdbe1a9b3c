#pragma once

#include <abyme/stats/metrics/inputs.hpp>
#include <abyme/stats/metrics/mean.hpp>

#include <optional>

namespace abyme::metrics {

/// The mean of something that is computed of outputs minus targets, over all their elements; nothing before
/// the first sample. In float64. \tparam Formula has `name`, and `of(difference)`
template <class Formula>
class MeanError {
public:
  /// \param outputs, targets of one shape, [n, ...], any dtype; [n, 1] fits [n] \param weights of the
  /// samples, n
  void update(const at::Tensor& outputs, const at::Tensor& targets, const at::Tensor& weights = {}) {
    const NoGraph guard;
    const auto [output, target] = pairs(Formula::name, outputs, targets);
    const at::Tensor errors = Formula::of(output.sub(target));
    mean_.update_each(errors.dim() > 1 ? errors.flatten(1).mean(1) : errors,
                      flat_weights(Formula::name, weights, errors.size(0)));
  }
  void merge(const MeanError& other) { mean_.merge(other.mean_); }
  void reset() { mean_.reset(); }
  std::optional<double> value() const { return mean_.value(); }
  void save(Kept& kept) const { mean_.save(kept); }
  void load(const Kept& kept) { mean_.load(kept); }

private:
  Mean mean_;
};

struct SquaredError {
  static constexpr const char* name = "MeanSquaredError";
  static at::Tensor of(const at::Tensor& difference) { return difference.square(); }
};
struct AbsoluteError {
  static constexpr const char* name = "MeanAbsoluteError";
  static at::Tensor of(const at::Tensor& difference) { return difference.abs(); }
};

/// See `MeanError`.
class MeanSquaredError : public MeanError<SquaredError> {};
/// See `MeanError`.
class MeanAbsoluteError : public MeanError<AbsoluteError> {};

}  // namespace abyme::metrics
