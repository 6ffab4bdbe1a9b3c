#pragma once

#include <abyme/core/ground.hpp>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>

namespace abyme {

/// Times what hangs on it: `epochs("iteration_start", clock("dig", train_data))`.
///
/// Event: `dig`. Transparent: children see its caller. Fields: `elapsed` (of the dig that runs, otherwise of
/// the last one; nothing before the first), `last` (of the last whole one), `total` (of all whole ones),
/// durations on a clock that nobody sets; `start`, `end` (of the last dig, in seconds since 1970, UTC;
/// nothing before); `count` (digs). All but `elapsed` of a running dig are set back with the run. A dig that
/// is broken off is timed too.
class TimerNode : public Node {
public:
  static constexpr auto events = abyme::events("dig");
  static constexpr bool transparent = true;

  Duration total{0};
  std::optional<double> start;
  std::optional<double> end;
  std::int64_t count = 0;

  std::optional<Duration> elapsed() const {
    if (since_) return std::chrono::steady_clock::now() - *since_;
    return last;
  }
  std::optional<Duration> last;
  static constexpr auto fields =
      abyme::fields(field("elapsed", &TimerNode::elapsed), state("last", &TimerNode::last),
                    state("total", &TimerNode::total), state("start", &TimerNode::start),
                    state("end", &TimerNode::end), state("count", &TimerNode::count));

  Step next(Step finished) override {
    if (finished == entry) {
      start = now();
      end.reset();
      since_ = std::chrono::steady_clock::now();
      return events["dig"];
    }
    stop();
    return done;
  }
  Step left(std::string_view) override {
    stop();
    return done;
  }

  void hold(Holdings& holdings) override {
    holdings.add_own(
        "clock",
        {[this](Kept& kept) { keep(kept, "running", since_ ? elapsed() : std::optional<Duration>()); },
         [this](const Kept& kept) {
           std::optional<Duration> running;
           put_back(kept, "running", running);
           since_.reset();
           if (running)
             since_ = std::chrono::steady_clock::now() -
                      std::chrono::duration_cast<std::chrono::steady_clock::duration>(*running);
         }});
  }

private:
  static double now() { return Duration(std::chrono::system_clock::now().time_since_epoch()).count(); }
  void stop() {
    if (!since_) return;
    last = elapsed();
    since_.reset();
    total += *last;
    end = now();
    ++count;
  }

  std::optional<std::chrono::steady_clock::time_point> since_;
};
using Timer = Handle<TimerNode>;

}  // namespace abyme
