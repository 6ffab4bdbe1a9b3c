#pragma once

#include <abyme/core/ground.hpp>
#include <abyme/time/period.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <optional>

namespace abyme {

/// How far a looper is in its pass, and how long it takes: for nodes that hang below it and hear of it only
/// when they are dug.
class PassProgress {
public:
  using Time = std::chrono::steady_clock::time_point;
  enum class Unit { steps, samples, seconds };

  /// The nearest looper above a place that shows what is needed here, or null.
  static const Node* looper_above(const Place& place) {
    const Node* nearest = nullptr;  // nodes are in the order in which the walk came to them
    for (const Node* node : place.nodes()) {
      if (node->type().elapsed && place.below(*node)) nearest = node;
    }
    return nearest && nearest->find_field("steps") && nearest->find_field("counter") ? nearest : nullptr;
  }

  static Unit unit(const std::optional<Period>& total) {
    if (!total || total->steps) return Unit::steps;
    return total->samples ? Unit::samples : Unit::seconds;
  }

  /// Forgets all that was.
  void restart() { past_ = {}; }
  /// From now on looks at this looper. \param total of a pass; otherwise that of the looper, in steps
  void watch(const Node& looper, std::optional<Period> total) {
    looper_ = &looper;
    given_ = total;
    unit_ = unit(total);
    steps_ = looper.find_field("steps");
    counter_ = looper.find_field("counter");
    samples_ = looper.find_field("samples");
    total_of_looper_ = looper.find_field("total");
    is_known_ = is_resumed_ = false;
  }

  /// Whether the looper is in another pass than at the last `update`.
  bool is_new() const { return !is_known_ || count(steps_) - count(counter_) != past_.first; }

  /// Begins the pass in which the looper is now. What was done before this moment is not timed, unless
  /// nothing was. A run that goes on in the middle of a pass is timed from there.
  void begin(Time now) {
    const std::int64_t steps = count(steps_), first = steps - count(counter_);
    if (!is_resumed_ || first != past_.first) {
      // The samples when the pass began: those at the last update, and for the steps missed since as many as
      // the ones after them have.
      if (samples_ && steps > past_.steps) {
        const double missed = double(first - past_.steps) / double(steps - past_.steps);
        past_.samples += std::llround(missed * double(count(samples_) - past_.samples));
      }
      past_ = {first, past_.samples, steps, past_.samples, 0};
      since_ = now;
      timed_from_ = steps;
    }
    is_known_ = true;
    is_resumed_ = false;
    before_ = past_.done;
    total_ = total_now();
  }

  /// Looks where the looper is. \returns how much was done since the last time
  double update(Time now) {
    past_.steps = count(steps_);
    if (samples_) past_.samples = count(samples_);
    last_ = now;
    const double done = past_.done;
    past_.done = done_now();
    return past_.done - done;
  }

  double done() const { return past_.done; }
  std::optional<double> total() const { return total_; }
  bool is_complete() const { return total_ && past_.done >= *total_; }

  /// Since the pass began: each step that was not timed counts as long as those that were. None where none
  /// was.
  std::optional<double> seconds() const {
    const double since = Duration(last_ - since_).count();
    if (unit_ == Unit::seconds) return before_ + since;
    if (timed_from_ == past_.first) return since;
    if (past_.steps == timed_from_) return std::nullopt;
    return since * double(past_.steps - past_.first) / double(past_.steps - timed_from_);
  }
  std::optional<double> seconds_per_unit() const {
    const std::optional<double> all = seconds();
    if (!all || past_.done <= 0 || past_.steps == timed_from_) return std::nullopt;
    return *all / past_.done;
  }

  void save(Kept& kept) const {
    keep(kept, "first", past_.first);
    keep(kept, "first_samples", past_.first_samples);
    keep(kept, "steps", past_.steps);
    keep(kept, "samples", past_.samples);
    keep(kept, "done", past_.done);
  }
  /// The run goes on from here, now.
  void load(const Kept& kept, Time now) {
    put_back(kept, "first", past_.first);
    put_back(kept, "first_samples", past_.first_samples);
    put_back(kept, "steps", past_.steps);
    put_back(kept, "samples", past_.samples);
    put_back(kept, "done", past_.done);
    is_resumed_ = true;
    since_ = now;
    timed_from_ = count(steps_);
  }

private:
  struct Past {                                 // in what the looper counts over all of its passes:
    std::int64_t first = 0, first_samples = 0;  // when this pass began, which tells it from others
    std::int64_t steps = 0, samples = 0;        // at the last update
    double done = 0;                            // of this pass then, in the unit
  };

  std::int64_t count(const Field* field) const {
    double count = 0;
    if (!field->number || !field->number(*looper_, count)) count = number(field->read(*looper_)).value_or(0);
    return static_cast<std::int64_t>(count);
  }
  std::optional<double> total_now() const {
    if (!given_) return total_of_looper_ ? number(total_of_looper_->read(*looper_)) : std::nullopt;
    if (given_->steps) return static_cast<double>(*given_->steps);
    if (given_->samples) return static_cast<double>(*given_->samples);
    if (given_->time) return given_->time->count();
    return std::max(0.0, Duration(*given_->date - std::chrono::system_clock::now()).count());
  }
  double done_now() const {
    double done = before_ + Duration(last_ - since_).count();
    if (unit_ == Unit::steps) done = static_cast<double>(past_.steps - past_.first);
    if (unit_ == Unit::samples) done = static_cast<double>(past_.samples - past_.first_samples);
    return total_ ? std::min(done, *total_) : done;
  }

  const Node* looper_ = nullptr;
  const Field *steps_ = nullptr, *counter_ = nullptr, *samples_ = nullptr, *total_of_looper_ = nullptr;
  std::optional<Period> given_;
  Unit unit_ = Unit::steps;
  std::optional<double> total_;
  Past past_;
  bool is_known_ = false, is_resumed_ = false;
  Time since_, last_;            // it is timed from here, up to here
  std::int64_t timed_from_ = 0;  // the looper's steps at `since_`
  double before_ = 0;            // what was done of this pass then
};

}  // namespace abyme
