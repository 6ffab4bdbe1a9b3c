#pragma once

#include <abyme/stats/metrics/inputs.hpp>
#include <abyme/stats/metrics/sums.hpp>

#include <cstdint>
#include <optional>

namespace abyme::metrics {

/// The coefficient of determination, of several columns the mean of theirs; in float64. Nothing before the
/// second sample. Of a column whose targets are all the same it is 1 where all outputs are right, otherwise
/// 0, as in scikit-learn.
class R2 {
public:
  /// \param outputs, targets of one shape, [n, ...], any dtype; [n, 1] fits [n] \param weights of the
  /// samples, n
  void update(const at::Tensor& outputs, const at::Tensor& targets, const at::Tensor& weights = {}) {
    const NoGraph guard;
    auto [output, target] = pairs("R2", outputs, targets);
    const std::int64_t samples = target.size(0);
    at::Tensor each = flat_weights("R2", weights, samples);
    if (samples == 0) return;
    target = target.reshape({samples, -1});
    output = output.reshape({samples, -1});
    if (each.defined()) each = each.to(at::kDouble).unsqueeze(1);
    const auto sum = [&each](const at::Tensor& rows) {
      return (each.defined() ? rows.mul(each) : rows).sum(0);
    };
    Sample batch;
    batch.origin = target[0].clone();
    const at::Tensor shifted = target.sub(batch.origin);
    batch.count = samples;
    batch.weight = each.defined() ? each.sum() : target.new_ones({}).mul(static_cast<double>(samples));
    batch.average = sum(shifted).div(batch.weight.clamp_min(tiny));
    batch.squares = sum(shifted.sub(batch.average).square());
    batch.errors = sum(output.sub(target).square());
    add(batch);
  }
  /// \throws Error where the other one has another number of columns
  void merge(const R2& other) {
    const NoGraph guard;
    if (other.seen_.count > 0) add(other.seen_);
  }
  void reset() { seen_ = {}; }

  std::optional<double> value() const {
    if (seen_.count < 2 || seen_.weight.item().toDouble() == 0) return std::nullopt;
    const NoGraph guard;
    const at::Tensor squares = seen_.squares.cpu(), errors = seen_.errors.cpu();
    double sum = 0;
    for (std::int64_t i = 0; i < squares.numel(); ++i) {
      const double square = squares.const_data_ptr<double>()[i], error = errors.const_data_ptr<double>()[i];
      sum += square != 0 ? 1 - error / square : error == 0 ? 1 : 0;
    }
    return sum / static_cast<double>(squares.numel());
  }

  void save(Kept& kept) const { keep(kept, "seen", seen_); }
  void load(const Kept& kept) { put_back(kept, "seen", seen_); }

private:
  static constexpr double tiny = 1e-300;  // in place of 0, where all weights are

  // Its tensors are replaced, never written to, so that copies may share them.
  struct Sample {
    std::int64_t count = 0;
    at::Tensor weight;   // one element
    at::Tensor origin;   // [columns] the first targets
    at::Tensor average;  // [columns] of the targets - origin: exactly 0 where they are all the same
    at::Tensor squares;  // [columns] sum of squared deviations of the targets from their average
    at::Tensor errors;   // [columns] sum of squared errors
  };

  // Chan, Golub and LeVeque 1979.
  void add(const Sample& other) {
    if (seen_.count == 0) {
      seen_ = other;
      return;
    }
    if (seen_.errors.numel() != other.errors.numel()) {
      throw Error(
          fmt::format("R2: the number of columns must stay the same, got {} after {}; use a metric for "
                      "each",
                      other.errors.numel(), seen_.errors.numel()));
    }
    const at::Tensor weight = seen_.weight.add(other.weight);
    const at::Tensor share = other.weight.div(weight.clamp_min(tiny));
    const at::Tensor difference = other.origin.sub(seen_.origin).add(other.average.sub(seen_.average));
    seen_ = {.count = seen_.count + other.count,
             .weight = weight,
             .origin = seen_.origin,
             .average = seen_.average.add(difference.mul(share)),
             .squares =
                 seen_.squares.add(other.squares).add(difference.square().mul(share.mul(seen_.weight))),
             .errors = seen_.errors.add(other.errors)};
  }

  Sample seen_;
};

}  // namespace abyme::metrics
