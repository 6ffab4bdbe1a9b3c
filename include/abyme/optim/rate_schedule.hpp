#pragma once

#include <abyme/core/ground.hpp>
#include <abyme/core/own.hpp>
#include <abyme/optim/rate.hpp>

#include <torch/optim/optimizer.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace abyme {

/// What the nodes here share: the optimizer whose learning rates they set, a rate for each of its groups. It
/// is shared as a `shared_ptr`, borrowed as an lvalue.
class RatesOf {
public:
  template <class Optimizer>
  explicit RatesOf(Optimizer&& optimizer) : optimizer_(own_or_borrow(std::forward<Optimizer>(optimizer))) {
    for (const auto& group : optimizer_->param_groups()) first_.push_back(group.options().get_lr());
  }
  /// Sets each group's rate to `rate(now, first)`.
  template <class NewRate>
  void set(NewRate rate) const {
    auto& groups = optimizer_->param_groups();
    for (std::size_t i = 0; i < groups.size(); ++i) {
      const double now = groups[i].options().get_lr();
      groups[i].options().set_lr(rate(now, i < first_.size() ? first_[i] : now));
    }
  }
  /// Of the first group.
  std::optional<double> rate() const {
    const auto& groups = optimizer_->param_groups();
    return groups.empty() ? std::nullopt : std::optional(groups[0].options().get_lr());
  }

private:
  std::shared_ptr<torch::optim::Optimizer> optimizer_;
  std::vector<double> first_;  // of each group, when the schedule was made
};

/// Sets the learning rates of an optimizer by a function of the step, a step a dig: per batch on the pass's
/// `end`, per epoch on the epochs' `iteration_end`.
///
///     train_pass("end", ab::RateSchedule(optimizer, ab::rates::warm_up(500, 0.01,
///     ab::rates::cosine(10'000))));
///
/// Each group follows from the rate that it had when the schedule was made. The rate of step 0 is set when
/// the run starts. No events. Fields: `rate` (of the first group), `counter` (steps so far), `schedule`.
class RateScheduleNode : public Node {
public:
  Rate schedule;
  std::int64_t counter = 0;

  std::optional<double> rate() const { return rates_.rate(); }
  const std::string& schedule_text() const { return schedule.text(); }
  static constexpr auto fields =
      abyme::fields(field("rate", &RateScheduleNode::rate), state("counter", &RateScheduleNode::counter),
                    option("schedule", &RateScheduleNode::schedule_text));

  template <class Optimizer>
  RateScheduleNode(Optimizer&& optimizer, Rate schedule)
      : schedule(std::move(schedule)), rates_(std::forward<Optimizer>(optimizer)) {}

  void run_started() override { set(); }
  Step next(Step) override {
    ++counter;
    set();
    return done;
  }

private:
  void set() {
    rates_.set([this](double, double first) { return schedule(counter, first); });
  }

  RatesOf rates_;
};
using RateSchedule = Handle<RateScheduleNode>;

struct ReduceRateOnPlateauOptions {
  double factor = 0.1;         ///< what the rates are multiplied with
  std::int64_t patience = 10;  ///< how many digs without a better value are borne
  double threshold = 1e-4;     ///< by how much a value must beat the best one
  bool relative = true;        ///< by that share of the best one, otherwise by that much
  bool high_is_better = false;
  std::int64_t cooldown = 0;  ///< how many digs after a reduction don't count
  double lowest = 0;          ///< no rate gets lower than this
};

/// Multiplies the learning rates of an optimizer by a factor where a value stops getting better, as PyTorch's
/// ReduceLROnPlateau: `test_data("end", ab::ReduceRateOnPlateau(optimizer, "average").focus(test_stats))`. A
/// value that is not there yet, or NaN, counts as no better.
///
/// No events. Fields: `value`, `rate` (of the first group), `best` (nothing before the first value), `waited`
/// (digs without a better one), `reductions` (so far), `resting` (digs that still don't count), its options.
class ReduceRateOnPlateauNode : public Node {
public:
  using Options = ReduceRateOnPlateauOptions;

  Input<double> value;
  Options options;
  std::optional<double> best;
  std::int64_t waited = 0, resting = 0, reductions = 0;

  std::optional<double> rate() const { return rates_.rate(); }
  static constexpr auto fields = abyme::fields(
      field("value", &ReduceRateOnPlateauNode::value), field("rate", &ReduceRateOnPlateauNode::rate),
      state("best", &ReduceRateOnPlateauNode::best), state("waited", &ReduceRateOnPlateauNode::waited),
      state("resting", &ReduceRateOnPlateauNode::resting),
      state("reductions", &ReduceRateOnPlateauNode::reductions));

  template <class Optimizer>
  ReduceRateOnPlateauNode(Optimizer&& optimizer, Input<double> value, Options options = {})
      : value(std::move(value)), options(options), rates_(std::forward<Optimizer>(optimizer)) {}

  void restart() override {
    Node::restart();
    rates_.set([](double, double first) { return first; });
  }

  Step next(Step) override {
    const auto now = value.find(*this);
    if (now && is_better(*now)) {
      best = now;
      waited = 0;
    } else {
      ++waited;
    }
    if (resting > 0) {
      --resting;
      waited = 0;
    }
    if (waited > options.patience) {
      constexpr double too_little = 1e-8;  // as PyTorch: a change that is none
      rates_.set([this](double rate, double) {
        const double lower = std::max(rate * options.factor, options.lowest);
        return rate - lower > too_little ? lower : rate;
      });
      ++reductions;
      resting = options.cooldown;
      waited = 0;
    }
    return done;
  }

  void check(Place& place) const override {
    if (!(options.factor < 1))
      place.fault(fmt::format("factor must be less than 1, got {}; pass 0.1 for a tenth", options.factor));
  }

private:
  bool is_better(double now) const {
    if (std::isnan(now)) return false;
    if (!best) return true;
    const double sign = options.high_is_better ? 1 : -1;
    const double margin = options.relative ? options.threshold * *best : options.threshold;
    return sign * now > sign * *best + margin;
  }

  RatesOf rates_;
};
using ReduceRateOnPlateau = Handle<ReduceRateOnPlateauNode>;

}  // namespace abyme
