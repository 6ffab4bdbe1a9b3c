#pragma once

#include <abyme/stats/metrics/average.hpp>
#include <abyme/stats/metrics/confusion_matrix.hpp>

#include <cstdint>
#include <optional>

namespace abyme::metrics {

struct ClassMetricOptions {
  Average average = Average::binary;
  std::optional<std::int64_t> classes = {};  ///< how many; needed only where outputs are classes, not scores
  double threshold = 0;  ///< of one score each: above it class 1 is predicted. 0 fits logits
};

/// What is computed of each class by three counts: samples of the class that are predicted as such, samples
/// that are predicted as such, samples of the class. `Precision`, `Recall` and `F1` are such. Where the
/// divisor is 0 the value of a class is 0, as scikit-learn's with its default `zero_division`; before the
/// first sample there is none.
/// \tparam Formula has `name`, and `of(right, predicted, actual)`
template <class Formula>
class ClassMetric {
public:
  ClassMetricOptions options;

  explicit ClassMetric(ClassMetricOptions options = {})
      : options(options), counts_({.classes = options.classes, .threshold = options.threshold}) {
    if (options.average == Average::binary && !options.classes) counts_.options.classes = 2;
  }

  /// \param outputs scores [..., classes]; or one score each, [...] or [..., 1]; or classes, whole numbers
  /// [...] \param targets classes [...], from 0 \param weights one for each target
  /// \throws Error also where `Average::binary` finds more than two classes
  void update(const at::Tensor& outputs, const at::Tensor& targets, const at::Tensor& weights = {}) {
    const Predictions given = predictions(Formula::name, outputs, targets);
    check_average(Formula::name, options.average,
                  given.classes > 0 ? given.classes : counts_.options.classes.value_or(0));
    counts_.count(Formula::name, given, weights);
  }
  void merge(const ClassMetric& other) { counts_.merge(other.counts_); }
  void reset() { counts_.reset(); }

  std::optional<double> value() const {
    const Counts counts = host_counts();
    if (!counts.actual.defined() || counts.actual.sum().item().toDouble() == 0) return std::nullopt;
    if (options.average == Average::binary) return of_class(counts, 1);
    double sum = 0, weight = 0, all_right = 0, all = 0;
    for (std::int64_t i = 0; i < counts.right.numel(); ++i) {
      const double actual = at(counts.actual, i), predicted = at(counts.predicted, i);
      all_right += at(counts.right, i);
      all += actual;
      const double counts_for = options.average == Average::weighted ? actual
                                : actual + predicted > 0             ? 1
                                                                     : 0;
      sum += counts_for * of_class(counts, i);
      weight += counts_for;
    }
    return options.average == Average::micro ? Formula::of(all_right, all, all) : sum / weight;
  }

  /// Of each class by itself: [classes] float64, on the CPU; undefined before the first update.
  at::Tensor by_class() const {
    const Counts counts = host_counts();
    if (!counts.right.defined()) return {};
    const at::Tensor made = counts.right.clone();
    for (std::int64_t i = 0; i < made.numel(); ++i) made.mutable_data_ptr<double>()[i] = of_class(counts, i);
    return made;
  }
  /// As of a `ConfusionMatrix`.
  at::Tensor matrix() const { return counts_.matrix(); }

  void save(Kept& kept) const { counts_.save(kept); }
  void load(const Kept& kept) { counts_.load(kept); }

private:
  struct Counts {  // [classes] float64 each, on the CPU; undefined before the first update
    at::Tensor right, predicted, actual;
  };
  Counts host_counts() const {
    const NoGraph guard;
    at::Tensor matrix = counts_.matrix();
    if (!matrix.defined()) return {};
    matrix = matrix.cpu().to(at::kDouble);
    return {matrix.diagonal().contiguous(), matrix.sum(0), matrix.sum(1)};
  }
  static double at(const at::Tensor& counts, std::int64_t index) {
    return counts.const_data_ptr<double>()[index];
  }
  static double of_class(const Counts& counts, std::int64_t index) {
    return Formula::of(at(counts.right, index), at(counts.predicted, index), at(counts.actual, index));
  }

  ConfusionMatrix counts_;
};

struct PrecisionFormula {
  static constexpr const char* name = "Precision";
  static double of(double right, double predicted, double) { return predicted > 0 ? right / predicted : 0; }
};
struct RecallFormula {
  static constexpr const char* name = "Recall";
  static double of(double right, double, double actual) { return actual > 0 ? right / actual : 0; }
};
struct F1Formula {
  static constexpr const char* name = "F1";
  static double of(double right, double predicted, double actual) {
    return predicted + actual > 0 ? 2 * right / (predicted + actual) : 0;
  }
};

/// The share of right ones among those predicted as of a class. See `ClassMetric`.
class Precision : public ClassMetric<PrecisionFormula> {
public:
  using ClassMetric::ClassMetric;
};
/// The share of a class that is predicted as such. See `ClassMetric`.
class Recall : public ClassMetric<RecallFormula> {
public:
  using ClassMetric::ClassMetric;
};
/// The harmonic mean of precision and recall. See `ClassMetric`.
class F1 : public ClassMetric<F1Formula> {
public:
  using ClassMetric::ClassMetric;
};

}  // namespace abyme::metrics
