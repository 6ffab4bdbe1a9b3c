#pragma once

#include <abyme/core/error.hpp>
#include <abyme/time/elapsed.hpp>

#include <algorithm>
#include <chrono>
#include <compare>
#include <concepts>
#include <cstdint>
#include <optional>
#include <string>

namespace abyme {

/// A number of steps: `ab::steps(1000)`.
struct Steps {
  std::int64_t count = 0;
  friend auto operator<=>(Steps, Steps) = default;
};
/// A number of samples: `ab::samples(60'000)`.
struct Samples {
  std::int64_t count = 0;
  friend auto operator<=>(Samples, Samples) = default;
};
constexpr Steps steps(std::int64_t count) { return {count}; }
constexpr Samples samples(std::int64_t count) { return {count}; }

/// How much of a loop: steps (a plain integer is that), samples, time (any `std::chrono` duration), a date,
/// or the first of several: `ab::steps(1000) || 5min`.
struct Period {
  std::optional<std::int64_t> steps, samples;
  std::optional<Duration> time;
  std::optional<Date> date;

  template <std::integral Integer>
    requires(!std::same_as<Integer, bool>)
  Period(Integer steps) : steps(static_cast<std::int64_t>(steps)) {}
  Period(Steps steps) : steps(steps.count) {}
  Period(Samples samples) : samples(samples.count) {}
  template <class Rep, class Ratio>
  Period(std::chrono::duration<Rep, Ratio> time) : time(std::chrono::duration_cast<Duration>(time)) {}
  Period(Date date) : date(date) {}

  /// Whether so much is done, of whichever unit comes first.
  bool reached(const Elapsed& elapsed) const {
    return (steps && elapsed.steps >= *steps) || (samples && elapsed.samples >= *samples) ||
           (time && elapsed.time >= *time) || (date && elapsed.date >= *date);
  }

  /// `1000 steps or 300 s`
  std::string text() const {
    std::string text;
    const auto add = [&text](const auto& unit, std::string_view format) {
      if (unit) text.append(text.empty() ? "" : " or ").append(fmt::format(fmt::runtime(format), *unit));
    };
    add(steps, "{} steps");
    add(samples, "{} samples");
    add(time ? std::optional(time->count()) : std::nullopt, "{} s");
    add(date ? std::optional(std::chrono::duration_cast<Duration>(date->time_since_epoch()).count())
             : std::nullopt,
        "{:.3f} s since 1970");
    return text;
  }
  friend bool operator==(const Period&, const Period&) = default;
};

/// Whichever comes first.
inline Period operator||(const Period& a, const Period& b) {
  Period first = a;
  const auto take = [](auto& unit, const auto& other) {
    if (other) unit = unit ? std::min(*unit, *other) : *other;
  };
  take(first.steps, b.steps);
  take(first.samples, b.samples);
  take(first.time, b.time);
  take(first.date, b.date);
  return first;
}

// One unit can be compared in every way. A period may have several, where only "reached" and "not reached
// yet" are sound: with the rest, "less" and "at least" could both be true.
inline std::strong_ordering operator<=>(const Elapsed& a, Steps b) { return a.steps <=> b.count; }
inline std::strong_ordering operator<=>(const Elapsed& a, Samples b) { return a.samples <=> b.count; }
inline bool operator==(const Elapsed& a, Steps b) { return a.steps == b.count; }
inline bool operator==(const Elapsed& a, Samples b) { return a.samples == b.count; }
template <class Rep, class Ratio>
std::partial_ordering operator<=>(const Elapsed& a, std::chrono::duration<Rep, Ratio> b) {
  return a.time <=> std::chrono::duration_cast<Duration>(b);
}
inline std::strong_ordering operator<=>(const Elapsed& a, Date b) { return a.date <=> b; }

template <std::same_as<Period> P>
bool operator>=(const Elapsed& elapsed, const P& period) {
  return period.reached(elapsed);
}
template <std::same_as<Period> P>
bool operator<(const Elapsed& elapsed, const P& period) {
  return !period.reached(elapsed);
}
// Compilers show these lines:
template <std::same_as<Period> P>
bool operator>(const Elapsed&, const P&) = delete;  // with a period only >= and < are sound: name one unit
template <std::same_as<Period> P>
bool operator<=(const Elapsed&, const P&) = delete;  // with a period only >= and < are sound: name one unit
template <std::same_as<Period> P>
bool operator==(const Elapsed&, const P&) = delete;  // with a period only >= and < are sound: name one unit

}  // namespace abyme
