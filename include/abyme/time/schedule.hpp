#pragma once

#include <abyme/core/kept.hpp>
#include <abyme/time/period.hpp>

#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace abyme {

/// When something is due: a value that is asked with what has elapsed. Any callable from `const ab::Elapsed&`
/// to bool is one. A schedule may remember, as `every(5min)` does; a copy has a memory of its own, and
/// snapshots hold it (that of a callable where it has `save` and `load`).
///
///     ab::Schedule save = ab::every(1000) || ab::every(5min);
///     for (const auto& [elapsed, batch] : ab::elapse(data)) {
///       if (save(elapsed)) ...
///     }
///
/// `a && b` and `a || b` ask b only where a leaves it open, so that b remembers only what it was asked.
class Schedule {
public:
  template <class Rule>
    requires(!std::derived_from<Rule, Schedule> && std::is_invocable_r_v<bool, Rule&, const Elapsed&>)
  Schedule(Rule rule) : rule_(std::make_unique<Held<Rule>>(std::move(rule))) {}
  // A compiler shows this line:
  template <class T>
    requires std::is_arithmetic_v<T>
  Schedule(T) = delete;  // a schedule is no number: write ab::every(n), ab::after(n), ab::always()

  Schedule(const Schedule& other) : rule_(other.rule_->clone()) {}
  Schedule(Schedule&&) = default;
  Schedule& operator=(Schedule other) {
    rule_ = std::move(other.rule_);
    return *this;
  }

  /// Whether it is due now.
  bool operator()(const Elapsed& elapsed) { return rule_->due(elapsed); }

  /// Whether samples decide in it, as `every(ab::samples(1000))` says. (Of a callable nobody knows.)
  bool counts_samples() const { return rule_->counts_samples(); }

  /// As it was written: `every 1000 steps or every 300 s`.
  std::string text() const { return rule_->text(); }

  /// Tells one that is fresh what was done before it is asked first: multiples that are behind are not due.
  void begin_at(const Elapsed& elapsed) { rule_->begin_at(elapsed); }

  /// Its memory, for a schedule that reads the same; a changed one begins anew.
  void save(Kept& kept) const {
    kept.data["text"] = text();
    kept.save_part("rule", *rule_);
  }
  void load(const Kept& kept) {
    const Record* before = kept.data.find("text");
    if (before && before->as<std::string>() == text()) rule_->load(kept.part("rule"));
  }

  friend Schedule operator&&(Schedule a, Schedule b) { return both(std::move(a), std::move(b), true); }
  friend Schedule operator||(Schedule a, Schedule b) { return both(std::move(a), std::move(b), false); }
  friend Schedule operator!(Schedule schedule) { return negation(std::move(schedule)); }

private:
  inline static Schedule both(Schedule a, Schedule b, bool all);
  inline static Schedule negation(Schedule schedule);

  struct AnyRule {
    virtual ~AnyRule() = default;
    virtual bool due(const Elapsed& elapsed) = 0;
    virtual std::unique_ptr<AnyRule> clone() const = 0;
    virtual std::string text() const = 0;
    virtual bool counts_samples() const = 0;
    virtual void begin_at(const Elapsed& elapsed) = 0;
    virtual void save(Kept& kept) const = 0;
    virtual void load(const Kept& kept) = 0;
  };
  template <class Rule>
  struct Held final : AnyRule {
    explicit Held(Rule rule) : rule(std::move(rule)) {}
    bool due(const Elapsed& elapsed) override { return rule(elapsed); }
    std::unique_ptr<AnyRule> clone() const override { return std::make_unique<Held>(rule); }
    std::string text() const override {
      if constexpr (requires { rule.text(); }) return rule.text();
      else return "callable";
    }
    bool counts_samples() const override {
      if constexpr (requires { rule.counts_samples(); }) return rule.counts_samples();
      else return false;
    }
    void begin_at([[maybe_unused]] const Elapsed& elapsed) override {
      if constexpr (requires { rule.begin_at(elapsed); }) rule.begin_at(elapsed);
    }
    void save(Kept& kept) const override {
      if constexpr (reflect::SelfKeeping<Rule>) rule.save(kept);
    }
    void load(const Kept& kept) override {
      if constexpr (reflect::SelfKeeping<Rule>) rule.load(kept);
    }
    Rule rule;
  };

  std::unique_ptr<AnyRule> rule_;  // null only where it was moved from
};

namespace reflect {

// Fires on multiples of steps, and at the first step at or past each multiple of samples or of time.
struct Every {
  Period period;
  std::int64_t samples = 0, times = 0;  // multiples that are behind

  bool operator()(const Elapsed& elapsed) {
    bool due = period.steps && elapsed.steps >= 0 && elapsed.steps % *period.steps == 0;
    const auto pass = [&due](std::int64_t now, std::int64_t& before) {
      due = due || now > before;
      before = std::max(now, before);
    };
    if (period.samples) pass(elapsed.samples / *period.samples, samples);
    if (period.time) pass(static_cast<std::int64_t>(std::floor(elapsed.time / *period.time)), times);
    return due;
  }
  std::string text() const { return "every " + period.text(); }
  bool counts_samples() const { return period.samples.has_value(); }
  void begin_at(const Elapsed& elapsed) {  // the multiple at which it begins is still due
    if (period.samples) samples = std::max<std::int64_t>(0, (elapsed.samples - 1) / *period.samples);
    if (period.time)
      times =
          std::max<std::int64_t>(0, static_cast<std::int64_t>(std::ceil(elapsed.time / *period.time)) - 1);
  }
  void save(Kept& kept) const {
    keep(kept, "samples", samples);
    keep(kept, "times", times);
  }
  void load(const Kept& kept) {
    put_back(kept, "samples", samples);
    put_back(kept, "times", times);
  }
};

// One schedule after the other; each sees what has elapsed since its turn began.
struct Piecewise {
  std::vector<std::pair<Period, Schedule>> pieces;  // the period of the first is not asked
  std::size_t turn = 0;
  std::optional<Elapsed> since = {};

  bool operator()(const Elapsed& elapsed) {
    if (!since) since = elapsed;
    if (turn + 1 < pieces.size() && pieces[turn + 1].first.reached(elapsed)) {
      ++turn;
      since = elapsed;
    }
    return pieces[turn].second(elapsed - *since);
  }
  std::string text() const {
    std::string text = pieces[0].second.text();
    for (std::size_t i = 1; i < pieces.size(); ++i)
      text += fmt::format(", after {} {}", pieces[i].first.text(), pieces[i].second.text());
    return text;
  }
  bool counts_samples() const {
    for (const auto& [from, schedule] : pieces) {
      if (from.samples || schedule.counts_samples()) return true;
    }
    return false;
  }
  void save(Kept& kept) const {
    keep(kept, "turn", turn);
    keep(kept, "since", since);
    for (std::size_t i = 0; i < pieces.size(); ++i) keep(kept, fmt::format("{}", i), pieces[i].second);
  }
  void load(const Kept& kept) {
    put_back(kept, "turn", turn);
    put_back(kept, "since", since);
    turn = std::min(turn, pieces.size() - 1);
    for (std::size_t i = 0; i < pieces.size(); ++i) {
      if (const auto name = fmt::format("{}", i); kept.data.find(name))
        put_back(kept, name, pieces[i].second);
    }
  }
};

struct Both {
  Schedule first, second;
  bool all;  // otherwise either
  bool operator()(const Elapsed& elapsed) { return first(elapsed) == all ? second(elapsed) : !all; }
  std::string text() const {
    return fmt::format("({} {} {})", first.text(), all ? "and" : "or", second.text());
  }
  bool counts_samples() const { return first.counts_samples() || second.counts_samples(); }
  void begin_at(const Elapsed& elapsed) {
    first.begin_at(elapsed);
    second.begin_at(elapsed);
  }
  void save(Kept& kept) const {
    keep(kept, "first", first);
    keep(kept, "second", second);
  }
  void load(const Kept& kept) {
    put_back(kept, "first", first);
    put_back(kept, "second", second);
  }
};

struct Not {
  Schedule schedule;
  bool operator()(const Elapsed& elapsed) { return !schedule(elapsed); }
  std::string text() const { return "not " + schedule.text(); }
  bool counts_samples() const { return schedule.counts_samples(); }
  void begin_at(const Elapsed& elapsed) { schedule.begin_at(elapsed); }
  void save(Kept& kept) const { schedule.save(kept); }
  void load(const Kept& kept) { schedule.load(kept); }
};

// A rule without a memory, and its text.
template <class Rule>
struct Told {
  Rule rule;
  std::string words;
  bool in_samples = false;
  bool operator()(const Elapsed& elapsed) { return rule(elapsed); }
  std::string text() const { return words; }
  bool counts_samples() const { return in_samples; }
};
template <class Rule>
Told(Rule, std::string, bool = false) -> Told<Rule>;  // for clang 16

inline void check_amounts(const Period& period, std::string_view who, std::int64_t least) {
  const auto check = [&](const auto& unit, auto count) {
    if (unit && !(count(*unit) >= double(least)))
      throw Error(fmt::format("{}: a period must be {}, got {}; pass {}", who,
                              least > 0 ? "positive" : "at least 0", period.text(),
                              "one in steps, samples or time that is"));
  };
  check(period.steps, [](auto steps) { return double(steps); });
  check(period.samples, [](auto samples) { return double(samples); });
  check(period.time,
        [least](Duration time) { return least > 0 ? (time.count() > 0 ? 1.0 : 0.0) : time.count(); });
}

}  // namespace reflect

inline Schedule Schedule::both(Schedule a, Schedule b, bool all) {
  return reflect::Both{std::move(a), std::move(b), all};
}
inline Schedule Schedule::negation(Schedule schedule) { return reflect::Not{std::move(schedule)}; }

/// Due at every multiple of the steps, 0 included, and at the first step at or past every multiple of the
/// samples or of the time, 0 not included: the grid stays, whatever a step takes. \throws Error where an
/// amount is not positive, or a date is given
inline Schedule every(Period period) {
  if (period.date)
    throw Error(
        fmt::format("every: a period that comes again must be in steps, samples or time, got {}; pass one "
                    "of these",
                    period.text()));
  reflect::check_amounts(period, "every", 1);
  return reflect::Every{period};
}

inline Schedule always() {
  return reflect::Told{[](const Elapsed&) { return true; }, "always"};
}
inline Schedule never() {
  return reflect::Told{[](const Elapsed&) { return false; }, "never"};
}

/// The first schedule, and from each period on the one behind it: `ab::piecewise(ab::every(1),
/// {{ab::steps(100), ab::every(10)}})`. Each sees what has elapsed since its turn began, the first since it
/// was asked first; a turn ends at the first question at or past the period, one at a time.
inline Schedule piecewise(Schedule first, std::vector<std::pair<Period, Schedule>> later) {
  later.insert(later.begin(), {Period(0), std::move(first)});
  return reflect::Piecewise{std::move(later)};
}

/// Due once so much is done, for ever. `.then(schedule)` and `.every(period)` begin there, with their own
/// count: `ab::after(3).every(5)` is due at the steps 3, 8, 13.
class After : public Schedule {
public:
  explicit After(Period period)
      : Schedule(reflect::Told{[period](const Elapsed& elapsed) { return period.reached(elapsed); },
                               "after " + period.text(), period.samples.has_value()}),
        period_(std::move(period)) {}

  Schedule then(Schedule schedule) const {
    return piecewise(abyme::never(), {{period_, std::move(schedule)}});
  }
  Schedule every(Period period) const { return then(abyme::every(std::move(period))); }

private:
  Period period_;
};
/// \throws Error where an amount is negative
inline After after(Period period) {
  reflect::check_amounts(period, "after", 0);
  return After(std::move(period));
}

/// Due at these steps: `ab::on_steps({1, 10, 100})`.
inline Schedule on_steps(std::set<std::int64_t> steps) {
  std::string words = "on the steps";
  for (const std::int64_t step : steps) words += fmt::format(" {}", step);
  return reflect::Told{
      [steps = std::move(steps)](const Elapsed& elapsed) { return steps.contains(elapsed.steps); },
      std::move(words)};
}

/// Due at the steps first, first * factor, first * factor^2, ..., each rounded up: `ab::geometric(1, 2.0)` at
/// 1, 2, 4, 8. \throws Error where first is less than 1, or the factor not greater than 1
inline Schedule geometric(std::int64_t first, double factor) {
  if (first < 1 || !(factor > 1) || std::isinf(factor))
    throw Error(
        fmt::format("geometric: it begins at 1 or more and grows by a factor above 1, got {} and {}; pass "
                    "1 and 2.0",
                    first, factor));
  const auto due = [first, factor](const Elapsed& elapsed) {
    if (elapsed.steps < first) return false;
    const auto step = double(elapsed.steps);
    const double near = std::round(std::log(step / double(first)) / std::log(factor));
    for (const double power : {near - 1, near, near + 1}) {  // rounding moves a step over at most one
      if (power >= 0 && std::ceil(double(first) * std::pow(factor, power) - 1e-9) == step) return true;
    }
    return false;
  };
  return reflect::Told{due, fmt::format("on the steps {}, times {} each", first, factor)};
}

}  // namespace abyme
