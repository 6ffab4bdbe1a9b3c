#pragma once

#include <abyme/core/kept.hpp>
#include <abyme/core/value.hpp>

#include <chrono>
#include <cstdint>
#include <string>

namespace abyme {

/// A date: a point in time of the clock on the wall.
using Date = std::chrono::system_clock::time_point;

/// How much of a loop is done: a value. In a tree the loopers count it, `ab::elapse` in a loop by hand.
struct Elapsed {
  std::int64_t steps = 0;
  std::int64_t samples = 0;
  Duration time{0};                              ///< since the beginning
  Date date = std::chrono::system_clock::now();  ///< when this was so

  /// The date at which it began.
  Date start() const { return date - std::chrono::duration_cast<Date::duration>(time); }

  /// The same with `date` now, and the time from the date before until then, on the clock on the wall.
  Elapsed update_time() const {
    const Date now = std::chrono::system_clock::now();
    return {steps, samples, time + (now - date), now};
  }
  /// The same with one more step of that many samples, now.
  Elapsed update(std::int64_t batch_size) const {
    Elapsed next = update_time();
    ++next.steps;
    next.samples += batch_size;
    return next;
  }

  /// What was done in between: its start is the date of `b`.
  friend Elapsed operator-(const Elapsed& a, const Elapsed& b) {
    return {a.steps - b.steps, a.samples - b.samples, a.time - b.time, a.date};
  }
  friend bool operator==(const Elapsed&, const Elapsed&) = default;

  void save(Kept& kept) const {
    keep(kept, "steps", steps);
    keep(kept, "samples", samples);
    keep(kept, "time", time);
    keep(kept, "date", static_cast<std::int64_t>(date.time_since_epoch().count()));
  }
  void load(const Kept& kept) {
    std::int64_t ticks = 0;
    put_back(kept, "steps", steps);
    put_back(kept, "samples", samples);
    put_back(kept, "time", time);
    put_back(kept, "date", ticks);
    date = Date(Date::duration(ticks));
  }
};

/// `12 steps, 384 samples, 1.5 s`.
inline std::string to_text(const Elapsed& elapsed) {
  return fmt::format("{} steps, {} samples, {:.3g} s", elapsed.steps, elapsed.samples, elapsed.time.count());
}

}  // namespace abyme
