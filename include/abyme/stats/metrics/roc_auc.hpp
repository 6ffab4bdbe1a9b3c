#pragma once

#include <ATen/ops/searchsorted.h>

#include <abyme/stats/metrics/average.hpp>
#include <abyme/stats/metrics/inputs.hpp>
#include <abyme/stats/metrics/rows.hpp>

#include <cstdint>
#include <limits>
#include <optional>

namespace abyme::metrics {

struct RocAucOptions {
  Average average = Average::binary;  ///< or macro or weighted: each class against the rest
  bool probabilities = false;         ///< scores of several classes are such, not logits
};

/// The area under the ROC curve: how often a sample of the class has a higher score than one of another
/// class, ties as half. Exact, so it keeps all scores, on their device: 4 to 8 bytes each, and 4 for a
/// target. Its `value` is nothing where a class has no sample, or all; NaN where a score is.
class RocAuc {
public:
  RocAucOptions options;

  /// \throws Error for `Average::micro`
  explicit RocAuc(RocAucOptions options = {}) : options(options) {
    if (options.average == Average::micro)
      throw Error("RocAuc: average must be binary, macro or weighted, got micro; choose one of these");
  }

  /// \param outputs scores of class 1, [...] or [..., 1]; or of all classes, [..., classes], of which the
  /// softmax is taken unless they are probabilities \param targets classes [...], from 0
  /// \param weights one for each target
  void update(const at::Tensor& outputs, const at::Tensor& targets, const at::Tensor& weights = {}) {
    const NoGraph guard;
    const Predictions given = predictions("RocAuc", outputs, targets);
    if (given.classes == 0) {
      throw Error(fmt::format("RocAuc: outputs must be scores, got whole numbers; pass what the model says "
                              "before a class is chosen"));
    }
    check_average("RocAuc", options.average, given.classes);
    append(scores_of(given), given.targets.to(at::kInt),
           flat_weights("RocAuc", weights, given.targets.numel()));
  }
  /// \throws Error where the other one has scores of other classes
  void merge(const RocAuc& other) {
    if (other.scores_.count() > 0)
      append(other.scores_.tensor(), other.targets_.tensor(), other.weights_.tensor());
  }
  void reset() { *this = RocAuc(options); }

  std::optional<double> value() const {
    if (scores_.count() == 0) return std::nullopt;
    const NoGraph guard;
    const at::Tensor scores = scores_.tensor(), targets = targets_.tensor(), weights = weights_.tensor();
    if (scores.isnan().any().item().toBool()) return std::numeric_limits<double>::quiet_NaN();
    if (scores.dim() == 1) return area(scores, targets.eq(1), weights);
    double sum = 0, all = 0;
    for (std::int64_t index = 0; index < scores.size(1); ++index) {
      const at::Tensor is_of_class = targets.eq(index);
      const std::optional<double> of_class = area(scores.select(1, index), is_of_class, weights);
      if (!of_class) return std::nullopt;
      const double counts_for = options.average == Average::macro ? 1 : total(is_of_class, weights);
      sum += *of_class * counts_for;
      all += counts_for;
    }
    return sum / all;
  }

  void save(Kept& kept) const {
    keep(kept, "scores", scores_);
    keep(kept, "targets", targets_);
    keep(kept, "weights", weights_);
  }
  void load(const Kept& kept) {
    put_back(kept, "scores", scores_);
    put_back(kept, "targets", targets_);
    put_back(kept, "weights", weights_);
  }

private:
  at::Tensor scores_of(const Predictions& given) const {
    const at::Tensor& outputs = given.outputs;
    const bool is_raw = outputs.dim() == 1 || options.probabilities;
    // In float64, or scores that differ would become ties where the softmax is all but 0 or 1.
    if (!is_raw && given.classes == 2) return outputs.select(1, 1).to(at::kDouble).sub(outputs.select(1, 0));
    if (!is_raw) return outputs.log_softmax(1, at::kDouble);
    const at::Tensor scores = outputs.scalar_type() == at::kDouble ? outputs : outputs.to(at::kFloat);
    return scores.dim() == 2 && given.classes == 2 ? scores.select(1, 1) : scores;
  }

  void append(const at::Tensor& scores, const at::Tensor& targets, at::Tensor weights) {
    const NoGraph guard;
    const std::int64_t before = scores_.count();
    if (before > 0 && scores_.tensor().sizes().slice(1) != scores.sizes().slice(1)) {
      throw Error(fmt::format("RocAuc: all scores must be of the same classes, got {} after {}; use a metric "
                              "for each",
                              shape_text(scores), shape_text(scores_.tensor())));
    }
    const auto ones = [&](std::int64_t count) {
      return targets.new_ones({count}, at::TensorOptions(at::kDouble));
    };
    if (weights.defined() && weights_.count() == 0) weights_.append(ones(before));
    if (!weights.defined() && weights_.count() > 0) weights = ones(targets.size(0));
    if (weights.defined()) weights_.append(weights.to(at::kDouble));
    scores_.append(scores);
    targets_.append(targets);
  }

  static double total(const at::Tensor& chosen, const at::Tensor& weights) {
    return (weights.defined() ? weights.masked_select(chosen) : chosen).sum(at::kDouble).item().toDouble();
  }

  // For each positive the negatives below it, and half of those that are equal: both are found in the sorted
  // negatives by bisection. Without weights all is counted in whole numbers.
  static std::optional<double> area(const at::Tensor& scores, const at::Tensor& is_positive,
                                    const at::Tensor& weights) {
    const at::Tensor is_negative = is_positive.logical_not();
    const double pairs = total(is_positive, weights) * total(is_negative, weights);
    if (pairs == 0) return std::nullopt;
    const auto [negatives, order] = scores.masked_select(is_negative).sort();
    const at::Tensor positives = scores.masked_select(is_positive);
    const at::Tensor below = at::searchsorted(negatives, positives);
    const at::Tensor not_above = at::searchsorted(negatives, positives, /*out_int32=*/false, /*right=*/true);
    if (!weights.defined()) return below.add(not_above).sum().item().toDouble() / 2 / pairs;
    const at::Tensor weight_below = weights.new_zeros({negatives.numel() + 1});
    weight_below.slice(0, 1).copy_(weights.masked_select(is_negative).index_select(0, order).cumsum(0));
    return weight_below.index_select(0, below)
               .add(weight_below.index_select(0, not_above))
               .mul(weights.masked_select(is_positive))
               .sum()
               .item()
               .toDouble() /
           2 / pairs;
  }

  Rows scores_;   // [n], or [n, classes]
  Rows targets_;  // [n]
  Rows weights_;  // [n], where weights were given
};

}  // namespace abyme::metrics
