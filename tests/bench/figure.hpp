#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <string_view>
#include <utility>
#include <vector>

/// Figures as run.py reads them: one JSON object a line.
namespace bench {

/// The median of repeated measurements, between their quartiles.
struct Spread {
  double low, median, high;
};

inline Spread spread(std::vector<double> values) {
  std::ranges::sort(values);
  const auto at = [&](std::size_t quarter) { return values[(values.size() - 1) * quarter / 4]; };
  return {at(1), at(2), at(3)};
}

inline double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

inline void figure(std::string_view name, double value, std::string_view unit) {
  fmt::print("{{\"name\": \"{}\", \"value\": {:.6g}, \"unit\": \"{}\"}}\n", name, value, unit);
}

/// \param factor from what was measured to the unit
inline void figure(std::string_view name, Spread measured, double factor, std::string_view unit) {
  fmt::print("{{\"name\": \"{}\", \"value\": {:.6g}, \"unit\": \"{}\", \"low\": {:.6g}, \"high\": {:.6g}}}\n",
             name, factor * measured.median, unit, factor * measured.low, factor * measured.high);
}

/// The ratio of two costs, pair by pair: each pair was measured one right after the other, so that a slow
/// second of the machine hits both. Also what each side takes, in `each`, by `factor` from what was measured.
inline void compare(std::string_view name, std::string_view against, const std::vector<double>& ours,
                    const std::vector<double>& theirs, double factor, std::string_view each) {
  std::vector<double> ratios;
  for (std::size_t i = 0; i < ours.size(); ++i) ratios.push_back(ours[i] / theirs[i]);
  const Spread ratio = spread(std::move(ratios));
  fmt::print("{{\"name\": \"{}\", \"value\": {:.4g}, \"unit\": \"ratio\", \"low\": {:.4g}, \"high\": {:.4g}, "
             "\"against\": \"{}\", \"ours\": {:.6g}, \"theirs\": {:.6g}, \"each\": \"{}\"}}\n",
             name, ratio.median, ratio.low, ratio.high, against, factor * spread(ours).median,
             factor * spread(theirs).median, each);
}

}  // namespace bench
