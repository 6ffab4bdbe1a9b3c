#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

namespace abyme {

/// Something that can be done in several ways: `prepare` is not timed, `run` is.
struct TimedWay {
  std::function<void()> prepare = [] {};
  std::function<void()> run;
};

/// How to compare ways.
struct Timing {
  std::int64_t rounds = 30;
  double margin = 0.05;                  ///< share of the time that a way must save to be better
  std::chrono::duration<double> budget;  ///< after this time it stops at three rounds
  std::function<void()> wait;            ///< until the device has done what it was told
};

struct TimedWays {
  std::size_t best = 0;              ///< the way that takes least, the first one where none is clearly better
  std::vector<double> microseconds;  ///< of each way, the median
};

/// Times ways in turn, so that what else the machine does hits all of them. Of two, one is better where
/// the median of their ratios, round by round, is below 1 by the margin, and three quarters of them are
/// below 1.
template <class Clock>
TimedWays time_ways(const std::vector<TimedWay>& ways, const Timing& timing) {
  const auto timed = [&timing](const TimedWay& way, std::int64_t calls) {
    way.prepare();
    timing.wait();
    const auto start = Clock::now();
    for (std::int64_t call = 0; call < calls; ++call) way.run();
    timing.wait();
    return std::chrono::duration<double, std::micro>(Clock::now() - start).count() / double(calls);
  };
  double longest = 0;  // of the latest calls
  for (const TimedWay& way : ways) {
    timed(way, 1);  // the first call of all makes caches and plans
    longest = std::max(longest, timed(way, 1));
  }
  std::vector<std::vector<double>> times(ways.size());
  const auto start = Clock::now();
  for (std::int64_t round = 0; round < timing.rounds; ++round) {
    if (round >= 3 && Clock::now() - start > timing.budget) break;
    // As many calls as take 2 ms; measured anew, as they take longer where another program starts meanwhile.
    const auto calls = longest > 0
                           ? std::clamp(std::int64_t(2000 / longest), std::int64_t{1}, std::int64_t{100})
                           : std::int64_t{1};
    longest = 0;
    for (std::size_t i = 0; i < ways.size(); ++i) {
      const std::size_t way = round % 2 == 0 ? i : ways.size() - 1 - i;
      times[way].push_back(timed(ways[way], calls));
      longest = std::max(longest, times[way].back());
    }
  }
  TimedWays result;
  for (std::size_t way = 1; way < ways.size(); ++way) {
    std::vector<double> ratios;
    for (std::size_t round = 0; round < times[way].size(); ++round) {
      const double other = times[result.best][round];
      ratios.push_back(other > 0 ? times[way][round] / other : 1);
    }
    std::ranges::sort(ratios);
    if (ratios[ratios.size() / 2] < 1 - timing.margin && ratios[ratios.size() * 3 / 4] < 1) result.best = way;
  }
  for (std::vector<double>& each : times) {
    std::ranges::sort(each);
    result.microseconds.push_back(each[each.size() / 2]);
  }
  return result;
}

}  // namespace abyme
