#pragma once

#include <abyme/stats/metrics/inputs.hpp>
#include <abyme/stats/metrics/mean.hpp>

#include <cmath>
#include <cstdint>
#include <optional>

namespace abyme::metrics {

struct PerplexityOptions {
  std::optional<std::int64_t> ignore_index = {};  ///< targets that don't count: -100 for PyTorch's
};

/// The exponential of the mean negative log likelihood, of logits and targets, or of means that are computed
/// already, such as a cross entropy; nothing before the first.
class Perplexity {
public:
  PerplexityOptions options;

  explicit Perplexity(PerplexityOptions options = {}) : options(options) {}

  /// \param outputs logits [..., vocabulary], of which the softmax is taken in float32 or, where they are,
  /// float64 \param targets classes [...], from 0 \param weights one for each target
  void update(const at::Tensor& outputs, const at::Tensor& targets, const at::Tensor& weights = {}) {
    const NoGraph guard;
    at::Tensor ignored, counted = targets;
    if (options.ignore_index) {
      ignored = targets.eq(*options.ignore_index);
      counted = targets.masked_fill(ignored, 0);
    }
    const Predictions given = predictions("Perplexity", outputs, counted);
    if (given.outputs.dim() != 2) {
      throw Error(fmt::format("Perplexity: outputs must be logits [..., vocabulary], got {}; pass what the "
                              "model says about every word",
                              shape_text(outputs)));
    }
    at::Tensor each = flat_weights("Perplexity", weights, given.targets.numel());
    at::Tensor likelihood =
        given.outputs.log_softmax(1, outputs.scalar_type() == at::kDouble ? at::kDouble : at::kFloat)
            .gather(1, given.targets.unsqueeze(1))
            .squeeze(1);
    if (ignored.defined()) {
      ignored = ignored.reshape({-1});
      likelihood = likelihood.masked_fill(ignored, 0);  // it may be infinite
      each = each.defined() ? each.masked_fill(ignored, 0) : ignored.logical_not();
    }
    mean_.update_each(likelihood.neg(), each);
  }
  /// \param mean negative log likelihood \param weight how many words it is of
  void update(double mean, double weight = 1) { mean_.update(mean, weight); }
  void update(const at::Tensor& mean, double weight = 1) { mean_.update(mean, weight); }

  void merge(const Perplexity& other) { mean_.merge(other.mean_); }
  void reset() { mean_.reset(); }
  std::optional<double> value() const {
    const std::optional<double> mean = mean_.value();
    return mean ? std::optional(std::exp(*mean)) : std::nullopt;
  }
  void save(Kept& kept) const { mean_.save(kept); }
  void load(const Kept& kept) { mean_.load(kept); }

private:
  Mean mean_;
};

}  // namespace abyme::metrics
