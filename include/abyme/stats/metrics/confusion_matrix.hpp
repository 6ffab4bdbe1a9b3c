#pragma once

#include <abyme/stats/metrics/inputs.hpp>
#include <abyme/stats/metrics/sums.hpp>

#include <cstdint>
#include <optional>
#include <string_view>

namespace abyme::metrics {

struct ConfusionMatrixOptions {
  std::optional<std::int64_t> classes = {};  ///< how many; needed only where outputs are classes, not scores
  double threshold = 0;  ///< of one score each: above it class 1 is predicted. 0 fits logits
};

/// How often each class is taken for each. Its `value` is the share on the diagonal, the accuracy.
class ConfusionMatrix {
public:
  ConfusionMatrixOptions options;

  explicit ConfusionMatrix(ConfusionMatrixOptions options = {}) : options(options) {}

  /// \param outputs scores [..., classes]; or one score each, [...] or [..., 1]; or classes, whole numbers
  /// [...] \param targets classes [...], from 0 \param weights one for each target
  void update(const at::Tensor& outputs, const at::Tensor& targets, const at::Tensor& weights = {}) {
    count("ConfusionMatrix", predictions("ConfusionMatrix", outputs, targets), weights);
  }
  /// The same for a metric of that name.
  void count(std::string_view who, const Predictions& given, const at::Tensor& weights) {
    const NoGraph guard;
    const std::int64_t classes = classes_of(who, given);
    const at::Tensor predicted = given.predicted(options.threshold);
    if (given.classes == 0) {
      check_classes(who, "outputs", predicted, classes);
      check_classes(who, "targets", given.targets, classes);
    }
    at::Tensor each = flat_weights(who, weights, predicted.numel());
    is_weighted_ = is_weighted_ || each.defined();
    if (!counts_.tensor().defined())
      counts_.add(predicted.new_zeros({classes, classes}, at::TensorOptions(at::kDouble)));
    const at::Tensor& counts = counts_.tensor();
    if (!each.defined()) each = counts.new_ones({1}).expand({predicted.numel()});
    counts.view({-1}).index_add_(0, given.targets.mul(classes).add(predicted), each.to(at::kDouble));
  }

  /// \throws Error where the other one has another number of classes
  void merge(const ConfusionMatrix& other) {
    const at::Tensor &mine = counts_.tensor(), &its = other.counts_.tensor();
    if (mine.defined() && its.defined() && mine.size(0) != its.size(0)) {
      throw Error(
          fmt::format("ConfusionMatrix: counts of one number of classes can be merged, got {} and {}; "
                      "pass {{.classes = {}}} to both",
                      mine.size(0), its.size(0), std::max(mine.size(0), its.size(0))));
    }
    counts_.add(other.counts_);
    is_weighted_ = is_weighted_ || other.is_weighted_;
  }
  void reset() { *this = ConfusionMatrix(options); }

  /// [classes, classes], rows are targets, columns predictions: int64, or float64 with weights, on the device
  /// of the outputs. Undefined before the first update.
  at::Tensor matrix() const {
    const NoGraph guard;
    const at::Tensor& counts = counts_.tensor();
    if (!counts.defined() || is_weighted_) return counts.defined() ? counts.clone() : counts;
    return counts.to(at::kLong);
  }
  std::optional<double> value() const {
    if (!counts_.tensor().defined()) return std::nullopt;
    const at::Tensor counts = counts_.tensor().cpu();
    const double total = counts.sum().item().toDouble();
    return total != 0 ? std::optional(counts.trace().item().toDouble() / total) : std::nullopt;
  }

  void save(Kept& kept) const {
    keep(kept, "is_weighted", is_weighted_);
    keep(kept, "counts", counts_);
  }
  void load(const Kept& kept) {
    put_back(kept, "is_weighted", is_weighted_);
    put_back(kept, "counts", counts_);
  }

private:
  std::int64_t classes_of(std::string_view who, const Predictions& given) const {
    std::optional<std::int64_t> known = options.classes;
    if (!known && counts_.tensor().defined()) known = counts_.tensor().size(0);
    if (!known && given.classes == 0) {
      throw Error(fmt::format("{}: the number of classes must be known, got outputs that are classes "
                              "themselves; pass {{.classes = 10}}",
                              who));
    }
    if (known && given.classes > 0 && *known != given.classes) {
      throw Error(fmt::format("{}: outputs must have scores of {} classes, got {}; pass the same classes to "
                              "each update",
                              who, *known, given.classes));
    }
    return known.value_or(given.classes);
  }

  Sums counts_;  // [classes, classes]
  bool is_weighted_ = false;
};

}  // namespace abyme::metrics
