#pragma once

#include <fmt/format.h>

#include <abyme/core/error.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace abyme {

/// A learning rate as a function of the step, from 0, and of the rate that the optimizer began with. Copies
/// are independent. The functions in `abyme::rates` make the usual ones; anything that is called with (step,
/// first) is one: `ab::Rate([](std::int64_t step, double first) { return first / (1 + step); })`.
class Rate {
public:
  template <class F>
    requires std::is_invocable_r_v<double, const F&, std::int64_t, double>
  explicit Rate(F function, std::string text = "callable")
      : function_(std::move(function)), text_(std::move(text)) {}

  double operator()(std::int64_t step, double first) const { return function_(step, first); }
  const std::string& text() const { return text_; }

private:
  std::function<double(std::int64_t, double)> function_;
  std::string text_;
};

namespace rates {

inline void check_steps(const char* who, std::int64_t steps) {
  if (steps < 1)
    throw Error(
        fmt::format("rates::{}: steps must be at least 1, got {}; pass how many it lasts", who, steps));
}

/// first * factor for `steps` steps, then first (PyTorch's ConstantLR); without arguments always first.
inline Rate constant(double factor = 1, std::int64_t steps = 0) {
  return Rate([=](std::int64_t step, double first) { return step < steps ? first * factor : first; },
              fmt::format("constant({}, {})", factor, steps));
}

/// first, times `factor` once every `steps` steps (StepLR).
inline Rate step(std::int64_t steps, double factor = 0.1) {
  check_steps("step", steps);
  return Rate([=](std::int64_t step, double first) { return first * std::pow(factor, double(step / steps)); },
              fmt::format("step({}, {})", steps, factor));
}

/// first, times `factor` at each of these steps (MultiStepLR).
inline Rate multi_step(std::vector<std::int64_t> at, double factor = 0.1) {
  std::sort(at.begin(), at.end());
  std::string text = fmt::format("multi_step({} steps, {})", at.size(), factor);
  return Rate(
      [at = std::move(at), factor](std::int64_t step, double first) {
        return first * std::pow(factor, double(std::upper_bound(at.begin(), at.end(), step) - at.begin()));
      },
      std::move(text));
}

/// first * factor^step (ExponentialLR).
inline Rate exponential(double factor) {
  return Rate([=](std::int64_t step, double first) { return first * std::pow(factor, double(step)); },
              fmt::format("exponential({})", factor));
}

inline constexpr double pi = 3.141592653589793;

/// Half a cosine from first to `last` in `steps` steps, and back again (CosineAnnealingLR; Loshchilov and
/// Hutter 2017).
inline Rate cosine(std::int64_t steps, double last = 0) {
  check_steps("cosine", steps);
  return Rate(
      [=](std::int64_t step, double first) {
        return last + (first - last) * (1 + std::cos(pi * double(step) / double(steps))) / 2;
      },
      fmt::format("cosine({}, {})", steps, last));
}

/// A cosine from first to `last` in `steps` steps, then anew from first, each time `stretch` times as long
/// (CosineAnnealingWarmRestarts). \throws Error where stretch is less than 1.
inline Rate cosine_restarts(std::int64_t steps, std::int64_t stretch = 1, double last = 0) {
  check_steps("cosine_restarts", steps);
  if (stretch < 1)
    throw Error(
        fmt::format("rates::cosine_restarts: stretch must be at least 1, got {}; pass 1 for cycles of one "
                    "length",
                    stretch));
  return Rate(
      [=](std::int64_t step, double first) {
        std::int64_t length = steps;
        if (stretch == 1) {
          step %= length;
        } else {
          while (step >= length) {
            step -= length;
            length *= stretch;
          }
        }
        return last + (first - last) * (1 + std::cos(pi * double(step) / double(length))) / 2;
      },
      fmt::format("cosine_restarts({}, {}, {})", steps, stretch, last));
}

/// first times a factor that goes straight from `from` to `to` in `steps` steps, and stays (LinearLR).
inline Rate linear(std::int64_t steps, double from, double to = 1) {
  check_steps("linear", steps);
  return Rate(
      [=](std::int64_t step, double first) {
        return first * (from + (to - from) * double(std::min(step, steps)) / double(steps));
      },
      fmt::format("linear({}, {}, {})", steps, from, to));
}

/// first * (1 - step / steps)^power, 0 from `steps` on (PolynomialLR).
inline Rate polynomial(std::int64_t steps, double power = 1) {
  check_steps("polynomial", steps);
  return Rate(
      [=](std::int64_t step, double first) {
        return first * std::pow(1 - double(std::min(step, steps)) / double(steps), power);
      },
      fmt::format("polynomial({}, {})", steps, power));
}

struct OneCycleOptions {
  double rise = 0.3;            ///< the share of the steps in which the rate rises
  bool cosine = true;           ///< rises and falls as half a cosine, otherwise straight
  double divide_first = 25;     ///< the rate begins at highest / divide_first
  double divide_last = 10'000;  ///< and ends at that / divide_last
};

/// Up to `highest` and down again, once in `steps` steps (OneCycleLR; Smith and Topin 2018); what the
/// optimizer began with counts for nothing.
inline Rate one_cycle(std::int64_t steps, double highest, OneCycleOptions options = {}) {
  check_steps("one_cycle", steps);
  return Rate(
      [=](std::int64_t step, double) {
        const double first = highest / options.divide_first, last = first / options.divide_last;
        const double top = options.rise * double(steps) - 1, end = double(steps) - 1;
        const auto between = [&](double from, double to, double share) {
          if (options.cosine) return to + (from - to) / 2 * (1 + std::cos(pi * share));
          return from + (to - from) * share;
        };
        const double at = std::min(double(step), end);
        return at <= top ? between(first, highest, at / top)
                         : between(highest, last, (at - top) / (end - top));
      },
      fmt::format("one_cycle({}, {})", steps, highest));
}

/// first times a factor that goes straight from `from` to 1 in `steps` steps, then `then`, from its own step
/// 0 on.
inline Rate warm_up(std::int64_t steps, double from, Rate then) {
  const Rate rise = linear(steps, from);
  std::string text = fmt::format("warm_up({}, {}, {})", steps, from, then.text());
  return Rate(
      [=, then = std::move(then)](std::int64_t step, double first) {
        return step < steps ? rise(step, first) : then(step - steps, first);
      },
      std::move(text));
}

/// first times the factor of the last pair whose step is reached: `piecewise({{0, 1}, {20, 0.5}, {90,
/// 0.1}})`; first before the first pair.
inline Rate piecewise(std::vector<std::pair<std::int64_t, double>> factors) {
  std::stable_sort(factors.begin(), factors.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  std::string text = fmt::format("piecewise({} pieces)", factors.size());
  return Rate(
      [factors = std::move(factors)](std::int64_t step, double first) {
        double factor = 1;
        for (const auto& [from, value] : factors) {
          if (step >= from) factor = value;
        }
        return first * factor;
      },
      std::move(text));
}

}  // namespace rates

}  // namespace abyme
