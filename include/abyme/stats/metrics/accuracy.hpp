#pragma once

#include <abyme/stats/metrics/inputs.hpp>
#include <abyme/stats/metrics/mean.hpp>

#include <cstdint>
#include <optional>

namespace abyme::metrics {

struct AccuracyOptions {
  std::int64_t top_k = 1;  ///< a sample is right where its class is among so many with the highest scores
  double threshold = 0;    ///< of one score each: above it class 1 is predicted. 0 fits logits
};

/// The share of samples whose class is predicted. Of equal scores that of the lower class counts as the
/// higher one, and a score that is NaN is never among the `top_k`.
class Accuracy {
public:
  AccuracyOptions options;

  /// \throws Error where `top_k` is less than 1
  explicit Accuracy(AccuracyOptions options = {}) : options(options) {
    if (options.top_k < 1)
      throw Error(fmt::format(
          "Accuracy: top_k must be at least 1, got {}; pass 1 for the highest score alone", options.top_k));
  }

  /// \param outputs scores [..., classes]; or one score each, [...] or [..., 1]; or classes, whole numbers
  /// [...] \param targets classes [...], from 0 \param weights one for each target
  void update(const at::Tensor& outputs, const at::Tensor& targets, const at::Tensor& weights = {}) {
    const NoGraph guard;
    const Predictions given = predictions("Accuracy", outputs, targets);
    const at::Tensor each = flat_weights("Accuracy", weights, given.targets.numel());
    if (options.top_k > 1 && (given.outputs.dim() != 2 || options.top_k > given.classes)) {
      throw Error(
          fmt::format("Accuracy: top_k must be at most the number of classes that have scores, got {} "
                      "for outputs {}; pass scores of all classes",
                      options.top_k, shape_text(outputs)));
    }
    right_.update_each(
        options.top_k > 1 ? is_in_top(given) : given.predicted(options.threshold).eq(given.targets), each);
  }
  void merge(const Accuracy& other) { right_.merge(other.right_); }
  void reset() { right_.reset(); }
  std::optional<double> value() const { return right_.value(); }
  void save(Kept& kept) const { right_.save(kept); }
  void load(const Kept& kept) { right_.load(kept); }

private:
  // By the rank of the target's score, since which of equal ones topk takes differs from device to device.
  at::Tensor is_in_top(const Predictions& given) const {
    const at::Tensor target = given.targets.unsqueeze(1);
    const at::Tensor score = given.outputs.gather(1, target);
    const at::Tensor classes = target.new_ones({given.classes}).cumsum(0).sub(1);
    const at::Tensor not_higher = given.outputs.le(score);
    const at::Tensor equal_before = given.outputs.eq(score).logical_and(classes.lt(target));
    return not_higher.logical_not().logical_or(equal_before).sum(1).lt(options.top_k);
  }

  Mean right_;
};

}  // namespace abyme::metrics
