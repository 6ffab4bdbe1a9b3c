#pragma once

#include <abyme/stats/stats.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

namespace abyme {

/// The last values, with their weights, in a ring.
class Window {
public:
  Window() = default;
  Window(const Window&) = default;
  Window& operator=(const Window& other) {  // the limit belongs to the run, not to the state
    values_ = other.values_;
    oldest_ = other.oldest_;
    moments_.reset();
    return *this;
  }

  /// Keeps the last `limit` of the values.
  void set_limit(std::size_t limit) {
    std::rotate(values_.begin(), values_.begin() + oldest_, values_.end());
    oldest_ = 0;
    if (values_.size() > limit) values_.erase(values_.begin(), values_.end() - std::ptrdiff_t(limit));
    values_.reserve(std::min<std::size_t>(limit, 4096));
    limit_ = limit;
    moments_.reset();
  }

  void add(double value, double weight) {
    moments_.reset();
    if (values_.size() < limit_) {
      values_.emplace_back(value, weight);
    } else {
      values_[static_cast<std::size_t>(oldest_)] = {value, weight};
      if (++oldest_ == std::ptrdiff_t(limit_)) oldest_ = 0;
    }
  }

  /// Computed when somebody asks, in the order in which the values came: exact, whatever has left the window.
  const Moments& moments() const {
    if (!moments_) {
      Moments moments;  // in registers, until all are in
      each([&moments](double value, double weight) { moments.add(value, weight); });
      moments_ = moments;
    }
    return *moments_;
  }

  void save(Kept& kept) const {
    const at::Tensor all = at::empty({static_cast<std::int64_t>(values_.size()), 2}, at::kDouble);
    auto* number = static_cast<double*>(all.mutable_data_ptr());
    each([&number](double value, double weight) {
      *number++ = value;
      *number++ = weight;
    });
    kept.add("values", all);
  }
  void load(const Kept& kept) {
    values_.clear();
    oldest_ = 0;
    moments_.reset();
    const at::Tensor all = kept.tensor("values");
    if (!all.defined()) return;
    const double* number = all.const_data_ptr<double>();
    for (std::int64_t i = 0; i < all.size(0); ++i) values_.emplace_back(number[2 * i], number[2 * i + 1]);
  }

private:
  // The oldest first.
  template <class Use>
  void each(Use use) const {
    const auto oldest = values_.begin() + oldest_;
    for (auto at = oldest; at != values_.end(); ++at) use(at->first, at->second);
    for (auto at = values_.begin(); at != oldest; ++at) use(at->first, at->second);
  }

  std::vector<std::pair<double, double>> values_;
  std::ptrdiff_t oldest_ = 0;
  std::size_t limit_ = 1;
  mutable std::optional<Moments> moments_;
};

struct MovingStatsOptions {
  Input<std::int64_t> window = 100;  ///< how many of the last values count; at least 1, read once a run
  std::optional<Input<Number>> weight =
      {};               ///< of each value: `"batch_size"`, so that a short batch counts for less
  bool sample = false;  ///< `std` of a sample, divided by the weights - 1, in place of the population's
};

/// Statistics of the last values: only what is in the window counts, also before it is full.
///
/// Event: `dig`, after each value; children see the statistics. Fields: those of `Stats`, of the values in
/// the window; `counter` (values so far). A value costs what it costs `Stats`; the first field read after it
/// costs one pass over the window. \throws Error at a dig where the value is nothing or holds more than one
/// element, or a late-bound window is less than 1; a constant one is a fault of the walk.
class MovingStatsNode : public StatisticNode<Window> {
public:
  using Options = MovingStatsOptions;
  Options options;
  std::int64_t counter = 0;

  std::optional<double> std() const { return deviation(options.sample); }
  static constexpr auto fields =
      abyme::fields(field("average", &MovingStatsNode::average), field("std", &MovingStatsNode::std),
                    field("min", &MovingStatsNode::min), field("max", &MovingStatsNode::max),
                    field("last", &MovingStatsNode::last), field("count", &MovingStatsNode::count),
                    state("counter", &MovingStatsNode::counter), field("value", &MovingStatsNode::value),
                    state("seen", &MovingStatsNode::seen));

  explicit MovingStatsNode(Input<Number> value, Options options = {})
      : StatisticNode(std::move(value)), options(std::move(options)) {}

  void run_started() override { has_window_ = false; }

  Step next(Step finished) override {
    if (finished != entry) return done;
    if (!has_window_) {
      const std::int64_t window = read(options.window);
      if (window < 1) throw Error(rule(window));
      seen.gathered().set_limit(static_cast<std::size_t>(window));
      has_window_ = true;
    }
    take(options.weight);
    ++counter;
    return fires(events["dig"]) ? events["dig"] : done;
  }

  void check(Place& place) const override {
    if (const auto window = options.window.constant(); window && *window < 1) place.fault(rule(*window));
  }

private:
  static std::string rule(std::int64_t window) {
    return fmt::format("window must be at least 1, got {}; pass 1 for the last value alone", window);
  }

  bool has_window_ = false;  // in this run
};
using MovingStats = Handle<MovingStatsNode>;

}  // namespace abyme
