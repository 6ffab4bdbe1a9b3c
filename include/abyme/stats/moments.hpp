#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

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

}  // namespace abyme
