#pragma once

#include <abyme/core/ground.hpp>

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

namespace abyme {

/// Running moments of weighted values in constant memory (Welford 1962, weighted after West 1979).
/// A NaN makes average, deviation, min and max NaN, as in NumPy.
struct Moments {
  std::int64_t count = 0;
  double weight = 0;
  double average = 0;
  double squares = 0;  // weighted sum of squared deviations from the average
  double min = std::numeric_limits<double>::infinity();
  double max = -std::numeric_limits<double>::infinity();
  double last = 0;

  void add(double value, double value_weight) {
    ++count;
    last = value;
    if (value < min || std::isnan(value)) min = value;
    if (value > max || std::isnan(value)) max = value;
    if (value_weight == 0) return;
    weight += value_weight;
    const double before = value - average;
    average = std::isinf(average) ? average + value : average + before * value_weight / weight;
    squares += before * (value - average) * value_weight;
  }
};

/// Moments of values that may lie on a device: there one copy a value goes into a slot made before, and the
/// slots are folded into the moments when they are full or when somebody reads.
class Accumulator {
public:
  static constexpr std::size_t capacity = 256;

  Accumulator() = default;
  Accumulator(const Accumulator& other) : moments_(other.moments()) {}
  Accumulator& operator=(const Accumulator& other) {
    moments_ = other.moments();
    weights_.clear();  // what waits here is replaced too
    return *this;
  }

  void add(double value, double weight) {
    fold();
    moments_.add(value, weight);
  }

  /// \param value one element, of any dtype, on any device
  void defer(const at::Tensor& value, double weight) {
    const at::NoGradGuard no_grad;
    if (weights_.size() == capacity || slots_.empty() || slots_[0].device() != value.device()) {
      fold();
      if (slots_.empty() || slots_[0].device() != value.device()) make_slots(value.device());
    }
    slots_[weights_.size()].copy_(value.dim() == 0 ? value : value.view(at::IntArrayRef()),
                                  /*non_blocking=*/true);
    weights_.push_back(weight);
  }

  const Moments& moments() const {
    fold();
    return moments_;
  }

private:
  void fold() const {
    if (weights_.empty()) return;
    const at::Tensor host = all_slots_.slice(0, 0, static_cast<std::int64_t>(weights_.size())).cpu();
    const double* values = host.const_data_ptr<double>();
    for (std::size_t i = 0; i < weights_.size(); ++i) moments_.add(values[i], weights_[i]);
    weights_.clear();
  }
  void make_slots(at::Device device) {
    all_slots_ =
        at::empty({static_cast<std::int64_t>(capacity)}, at::TensorOptions(at::kDouble).device(device));
    slots_ = all_slots_.unbind();
    weights_.reserve(capacity);
  }

  mutable Moments moments_;              // readers fold what waits
  mutable std::vector<double> weights_;  // of the values that wait
  at::Tensor all_slots_;                 // [capacity]
  std::vector<at::Tensor> slots_;        // its elements
};

struct StatsOptions {
  std::optional<Input<Number>>
      weight;  ///< of each value: `"batch_size"`, so that a short batch counts for less
};

/// Statistics of a value: of each that it is dug with, since the run began or since it was reset.
///
/// Event: `dig`, after each value; children see the statistics. Fields, all nothing before the first value:
/// `average`, `std` (population), `min`, `max`, `last`; `count` (values so far); `value` (the input: a
/// number, or a tensor with one element, of any device), `weight`. Average and deviation are weighted where a
/// weight is given, and nothing while all weights are 0. On the CPU the number is read at once. On a device
/// it is copied into a slot there, and read when somebody reads a field, or when 256 wait. \throws Error at a
/// dig where the value is nothing or holds more than one element.
class StatsNode : public Node {
public:
  using Options = StatsOptions;
  static constexpr auto events = abyme::events("dig");

  Input<Number> value;
  Options options;

  std::int64_t count() const { return moments().count; }
  std::optional<double> average() const {
    return moments().weight > 0 ? std::optional(moments().average) : std::nullopt;
  }
  std::optional<double> std() const {
    const Moments& all = moments();
    return all.weight > 0 ? std::optional(std::sqrt(all.squares / all.weight)) : std::nullopt;
  }
  std::optional<double> min() const { return present(moments().min); }
  std::optional<double> max() const { return present(moments().max); }
  std::optional<double> last() const { return present(moments().last); }
  const Moments& moments() const { return seen.moments(); }

  Accumulator seen;
  static constexpr auto fields = abyme::fields(
      field("average", &StatsNode::average), field("std", &StatsNode::std), field("min", &StatsNode::min),
      field("max", &StatsNode::max), field("last", &StatsNode::last), field("count", &StatsNode::count),
      field("value", &StatsNode::value), state("seen", &StatsNode::seen));

  explicit StatsNode(Input<Number> value, Options options = {})
      : value(std::move(value)), options(std::move(options)) {}

  Step next(Step finished) override {
    if (finished != entry) return done;
    const Value now = read(value).value;
    const double weight = options.weight ? number(read(*options.weight).value).value_or(1) : 1;
    const at::Tensor* tensor = std::get_if<at::Tensor>(&now);
    if (tensor && tensor->defined() && !tensor->is_cpu() && tensor->numel() == 1) {
      seen.defer(*tensor, weight);
    } else if (const auto held = number(now)) {
      seen.add(*held, weight);
    } else {
      throw Error(fmt::format("a statistic takes one number at a time, got {}; give it a mean or a sum",
                              to_text(now)));
    }
    return events["dig"];
  }

private:
  std::optional<double> present(double number) const {
    return moments().count > 0 ? std::optional(number) : std::nullopt;
  }
};
using Stats = Handle<StatsNode>;

}  // namespace abyme
