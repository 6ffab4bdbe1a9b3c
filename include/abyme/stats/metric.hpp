#pragma once

#include <abyme/core/ground.hpp>
#include <abyme/stats/metrics/any_metric.hpp>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <variant>

namespace abyme {

struct MetricOptions {
  std::optional<Input<at::Tensor>> outputs = {};  ///< of the model; left out, the caller's `outputs`
  std::optional<Input<at::Tensor>> targets = {};  ///< left out, the caller's `targets`
  /// In place of these two, for metrics of a number; left out, the caller's `loss` for those of nothing else.
  std::optional<Input<Number>> number = {};
  std::optional<Input<Number>> weight = {};  ///< a tensor with one for each sample, or a number for all
};

/// Updates a metric with each batch, and shows its value.
///
///     auto f1 = ab::Metric(ab::metrics::F1({.average = ab::metrics::Average::macro}));
///     test_pass("end", f1);
///
/// The metric is one of `ab::metrics`, or of one's own: a class with `update(outputs, targets)`, optionally
/// of weights too, or `update(number, weight)`, and `value()`, a `double` or `std::optional<double>`. For
/// snapshots it has `save` and `load`, or public members only. Most are a mean of something:
///
///     struct Within : ab::metrics::Mean {  // the share of outputs that are less than 0.1 off
///       void update(const at::Tensor& outputs, const at::Tensor& targets) {
///         Mean::update((outputs - targets).abs().lt(0.1));
///       }
///     };
///
/// Event: `dig`, after each update; children see the metric. Fields: `value` (nothing before the first
/// sample), `count` (samples so far, the rows of targets; of a metric of numbers, numbers), `matrix` (a
/// tensor, where the metric has one), `metric` (its text), `seen` (what was gathered, an object:
/// `node->seen.as<ab::metrics::F1>()` is the metric itself), the options. An update does not wait for a
/// device, reading the value does. \throws Error at a dig as the metric does.
class MetricNode : public Node {
public:
  static constexpr auto events = abyme::events("dig");

  using Options = MetricOptions;
  Options options;
  metrics::AnyMetric seen;
  std::int64_t count = 0;

  at::Tensor matrix() const { return seen.matrix(); }
  std::optional<double> value_now() const { return seen.value(); }
  std::string metric_text() const { return seen.text(); }
  static constexpr auto fields =
      abyme::fields(field("matrix", &MetricNode::matrix), field("value", &MetricNode::value_now),
                    state("count", &MetricNode::count), option("metric", &MetricNode::metric_text),
                    state("seen", &MetricNode::seen));

  template <metrics::Metric M>
  explicit MetricNode(M metric, Options options = {}) : options(std::move(options)), seen(std::move(metric)) {
    Options& given = this->options;
    if (!given.outputs && !given.targets && !given.number && !seen.takes_predictions)
      given.number = abyme::caller("loss");
    if (given.number) return;
    if (!given.outputs) given.outputs = abyme::caller("outputs");
    if (!given.targets) given.targets = abyme::caller("targets");
  }

  Step next(Step finished) override {
    if (finished != entry) return done;
    if (options.number) take_number();
    else take_predictions();
    return events["dig"];
  }

  std::span<const Field> shown() const override {  // the row `matrix` is the first
    return type().fields.subspan(seen.has_matrix ? 0 : 1);
  }

  void check(Place& place) const override {
    if (options.number && (options.outputs || options.targets)) {
      place.fault(
          "a metric must take a number, or outputs and targets, got both; leave .number out, or these");
    } else if (options.number && !seen.takes_number) {
      place.fault(fmt::format("number must be for a metric that takes one, got {}, which takes outputs and "
                              "targets; leave it out",
                              seen.text()));
    } else if (!options.number && !seen.takes_predictions) {
      place.fault(
          fmt::format("outputs and targets must be for a metric that takes them, got {}, which takes a "
                      "number; pass .number",
                      seen.text()));
    } else if (options.weight && !options.number && !seen.takes_weights) {
      place.fault(fmt::format("weight must be for a metric that takes one, got {}, which has no "
                              "update(outputs, targets, weights); leave it out",
                              seen.text()));
    }
  }

private:
  void take_number() {
    double weight = 1;
    if (options.weight && !options.weight->number(*this, weight))
      weight = abyme::number(read(*options.weight).value).value_or(1);
    double quick = 0;
    if (options.number->number(*this, quick)) {
      seen.update(quick, weight);
    } else {
      const Value now = read(*options.number).value;
      if (const auto* tensor = std::get_if<at::Tensor>(&now)) seen.update(*tensor, weight);
      else seen.update(abyme::number(now).value_or(0), weight);
    }
    ++count;
  }
  void take_predictions() {
    const at::Tensor outputs = read(*options.outputs), targets = read(*options.targets);
    at::Tensor weights;
    if (options.weight) {
      const Value now = read(*options.weight).value;
      if (const auto* tensor = std::get_if<at::Tensor>(&now)) weights = *tensor;
      else weights = targets.new_full({}, abyme::number(now).value_or(1), at::TensorOptions(at::kDouble));
    }
    seen.update(outputs, targets, weights);
    count += targets.dim() > 0 ? targets.size(0) : 1;
  }
};
using Metric = Handle<MetricNode>;

}  // namespace abyme
