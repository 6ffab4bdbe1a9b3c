#pragma once

#include <abyme/core/ground.hpp>
#include <abyme/stats/accumulator.hpp>
#include <abyme/stats/moments.hpp>

#include <cmath>
#include <cstdint>
#include <optional>
#include <utility>

namespace abyme {

/// What `Stats` and `MovingStats` share: how a value is taken, and what is shown of those gathered.
/// \tparam Gathered `Moments`, or what has `add` and `moments`
template <class Gathered>
class StatisticNode : public Node {
public:
  static constexpr auto events = abyme::events("dig");

  Input<Number> value;
  Accumulator<Gathered> seen;

  const Moments& moments() const { return moments_of(seen.gathered()); }
  std::int64_t count() const { return moments().count; }
  std::optional<double> average() const {
    return moments().weight > 0 ? std::optional(moments().average) : std::nullopt;
  }
  std::optional<double> min() const { return present(moments().min); }
  std::optional<double> max() const { return present(moments().max); }
  std::optional<double> last() const { return present(moments().last); }

protected:
  explicit StatisticNode(Input<Number> value) : value(std::move(value)) {}

  void take(const std::optional<Input<Number>>& weight_input) {
    double weight = 1;
    if (weight_input && !weight_input->number(*this, weight))
      weight = abyme::number(read(*weight_input).value).value_or(1);
    if (double quick = 0; value.number(*this, quick)) seen.add(quick, weight);
    else take_value(weight);
  }
  std::optional<double> deviation(bool of_sample) const {
    const Moments& all = moments();
    const double divisor = of_sample ? all.weight - 1 : all.weight;
    return divisor > 0 ? std::optional(std::sqrt(all.squares / divisor)) : std::nullopt;
  }

private:
  // One that lies on a device, or is no number.
  [[gnu::noinline]] void take_value(double weight) {
    const Value now = read(value).value;
    const at::Tensor* tensor = std::get_if<at::Tensor>(&now);
    if (tensor && tensor->defined() && !tensor->is_cpu() && tensor->numel() == 1) {
      seen.defer(*tensor, weight);
    } else if (const auto held = abyme::number(now)) {
      seen.add(*held, weight);
    } else {
      throw Error(fmt::format("a statistic takes one number at a time, got {}; give it a mean or a sum",
                              to_text(now)));
    }
  }
  static const Moments& moments_of(const Moments& moments) { return moments; }
  template <class Other>
  static const Moments& moments_of(const Other& gathered) {
    return gathered.moments();
  }
  std::optional<double> present(double number) const {
    return moments().count > 0 ? std::optional(number) : std::nullopt;
  }
};

struct StatsOptions {
  std::optional<Input<Number>> weight =
      {};               ///< of each value: `"batch_size"`, so that a short batch counts for less
  bool sample = false;  ///< `std` of a sample, divided by the weights - 1, in place of the population's
};

/// Statistics of a value: of each that it is dug with, since the run began or since it was reset.
///
/// Event: `dig`, after each value; children see the statistics. Fields, all nothing before the first value:
/// `average`, `std` (population), `min`, `max`, `last`; `count` (values so far); `value` (the input: a
/// number, or a tensor with one element, of any device), its options. Average and deviation are weighted
/// where a weight is given, and nothing while all weights are 0; the deviation of a sample is nothing before
/// its second value. On the CPU the number is read at once. On a device it is copied into a slot there, and
/// read when somebody reads a field, or when 256 wait. \throws Error at a dig where the value is nothing or
/// holds more than one element.
class StatsNode : public StatisticNode<Moments> {
public:
  using Options = StatsOptions;
  Options options;

  std::optional<double> std() const { return deviation(options.sample); }
  static constexpr auto fields = abyme::fields(
      field("average", &StatsNode::average), field("std", &StatsNode::std), field("min", &StatsNode::min),
      field("max", &StatsNode::max), field("last", &StatsNode::last), field("count", &StatsNode::count),
      field("value", &StatsNode::value), state("seen", &StatsNode::seen));

  explicit StatsNode(Input<Number> value, Options options = {})
      : StatisticNode(std::move(value)), options(std::move(options)) {}

  Step next(Step finished) override {
    if (finished != entry) return done;
    take(options.weight);
    return fires(events["dig"]) ? events["dig"] : done;
  }
};
using Stats = Handle<StatsNode>;

}  // namespace abyme
