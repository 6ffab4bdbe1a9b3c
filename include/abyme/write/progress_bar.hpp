#pragma once

#include <abyme/core/ground.hpp>
#include <abyme/stats/accumulator.hpp>
#include <abyme/stats/moments.hpp>
#include <abyme/time/period.hpp>
#include <abyme/write/bar_text.hpp>
#include <abyme/write/entries.hpp>
#include <abyme/write/live_line.hpp>

#include <algorithm>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <iostream>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace abyme {

/// A value behind a bar and its name: `"average"` (that field of the caller), `stats.get("average")`,
/// `{"loss", stats.get("average")}`. A dictionary gives its entries, under their own names.
struct BarValue {
  std::string name;
  Input<Value> value;

  template <class Text>
    requires std::convertible_to<const Text&, std::string_view>
  BarValue(const Text& field) : BarValue(caller(std::string(std::string_view(field)))) {}
  BarValue(CallerField field) : name(field.field), value(std::move(field)) {}
  BarValue(Look look) : name(look.field()), value(std::move(look)) {}
  BarValue(std::string name, Input<Value> value) : name(std::move(name)), value(std::move(value)) {}
};

struct ProgressBarOptions {
  std::optional<Period> total =
      {};  ///< of a pass, in its first unit of steps, samples, time, date; otherwise
           ///< the field `total` of the looper, in steps, where it has one
  BarStyle style = BarStyle::keras;
  int width = 30;                      ///< of the bar itself; less where the terminal is narrow
  Duration interval = Duration(0.05);  ///< on a terminal: between two drawings at least
  int lines = 10;                      ///< elsewhere: how many a pass gets, the last one included
  Input<std::string> title = "";       ///< `epoch 3/10`; read when a pass begins
  std::optional<std::string> unit =
      {};  ///< its name; otherwise `step`, `sample` or `s`, in tqdm's style `it`
  std::vector<Input<Value>> means = {};  ///< shown last, as means over the pass, weighted by what was done
  bool leave = true;                     ///< whether the line stays on a terminal when a pass ends
  int verbose = 1;                       ///< as in Keras: 0 nothing, 1 all, 2 only a line when a pass ends
};

/// Shows how far the nearest looper above it is, in one line that moves on a terminal, and in a few plain
/// ones elsewhere:
///
///     train_data("iteration_end", train_pass, ab::ProgressBar({{"loss", train_loss.get("average")}}));
///
/// A pass of the looper is a bar; it ends when all is done, or when the looper is left. Values are read when
/// something is drawn, and shown as they are then. What is dug in between takes the time of a look at the
/// clock. Hung on "start" too it shows the empty bar, and the first step is timed; otherwise rates are those
/// from the first dig of a pass on, as in a run that goes on from a snapshot.
///
/// To the standard error, so that the output of a program stays its own; or to a stream given first, which is
/// borrowed. `Print` and its like write above a bar, other output over it. Several bars may be unfinished at
/// once, one within the other: a terminal shows the innermost.
///
/// No events. Fields: `values`; `line` (the text shown last).
class ProgressBarNode : public Node, private LiveLine {
  using Time = std::chrono::steady_clock::time_point;

public:
  using Options = ProgressBarOptions;

  std::vector<Input<Value>> values;
  std::string line;
  Options options;
  /// The clock that it goes by.
  std::function<Time()> clock = [] { return std::chrono::steady_clock::now(); };
  static constexpr auto fields =
      abyme::fields(field("values", &ProgressBarNode::values), field("line", &ProgressBarNode::line));

  ProgressBarNode(Terminal terminal, std::vector<BarValue> shown, Options options)
      : LiveLine(std::move(terminal)), options(std::move(options)) {
    for (BarValue& each : shown) {
      names_.push_back(std::move(each.name));
      values.push_back(std::move(each.value));
    }
    for (Input<Value>& mean : this->options.means) {  // a text is the name of a field
      if (const auto* text = mean.constant_value()) mean = abyme::caller(to_text(*text));
    }
  }

  Step next(Step) override {
    if (options.verbose == 0) return done;
    const Time now = clock();
    const std::int64_t steps = count(steps_), first = steps - count(counter_);
    if (!began_ || first != pass_.first) begin(now, steps, first);
    pass_.steps = steps;
    if (samples_) pass_.samples = count(samples_);
    if (!is_open()) return done;
    const double before = std::exchange(pass_.done, done_at(now));
    if (!options.means.empty()) gather(pass_.done - before);
    last_ = now;
    if (total_ && pass_.done >= *total_) {
      read_values();
      finish();
    } else if (options.verbose == 1 && is_due(now)) {
      read_values();
      shown_ = pass_.done;
      next_ = now + std::chrono::duration_cast<Time::duration>(is_live() ? options.interval : Duration(10));
      draw(line = text(false));
    }
    return done;
  }

  void restart() override {
    Node::restart();
    pass_ = {};
    means_.clear();
  }
  void run_started() override {
    began_ = resumed_ = false;
    const auto find = [this](std::string_view name) { return looper_->find_field(name); };
    steps_ = find("steps"), counter_ = find("counter"), samples_ = find("samples"),
    of_looper_ = find("total");
  }
  void run_ended() override {
    if (is_open()) finish();
  }
  void hold(Holdings& holdings) override {
    holdings.add_own("pass", {[this](Kept& kept) {
                                keep(kept, "pass", pass_);
                                keep(kept, "means", means_);
                              },
                              [this](const Kept& kept) {
                                put_back(kept, "pass", pass_);
                                put_back(kept, "means", means_);
                                resumed_ = true;
                                since_ = clock();
                                began_with_ = count(steps_);
                              }});
  }

  void check(Place& place) const override {
    const Node* nearest = nullptr;  // nodes are in the order in which the walk came to them
    for (const Node* node : place.nodes()) {
      if (node->type().elapsed && place.below(*node)) nearest = node;
    }
    if (!nearest || !nearest->find_field("steps") || !nearest->find_field("counter"))
      return place.fault("a bar needs a looper above it, which shows counter and steps, got none; hang it on "
                         "\"iteration_end\" of one");
    if (looper_ && looper_ != nearest && place.walk().contains(*looper_))
      place.fault(fmt::format("a bar shows one looper, got {} and {}; make one for each", looper_->name(),
                              nearest->name()));
    looper_ = nearest;
    if (options.total && unit() == Unit::samples && !nearest->find_field("samples"))
      place.fault(fmt::format("a total in samples needs a looper that counts them, got {}; give it in steps",
                              nearest->name()));
    const auto at_least = [&](std::string_view name, auto value, int least, std::string_view remedy) {
      if (!(value >= least))
        place.fault(fmt::format("{} must be at least {}, got {}; {}", name, least, value, remedy));
    };
    at_least("width", options.width, 1, "pass 30 for that of Keras");
    at_least("interval", options.interval.count(), 0, "pass 0s to draw at every dig");
    at_least("lines", options.lines, 0, "pass 0 for none");
    if (options.verbose < 0 || options.verbose > 2)
      place.fault(fmt::format("verbose must be 0, 1 or 2, got {}; pass 1 for all", options.verbose));
  }

private:
  enum class Unit { steps, samples, seconds };
  struct Pass {                                 // of the looper; in what it counts over all of its passes:
    std::int64_t first = 0, first_samples = 0;  // what was done before
    std::int64_t steps = 0, samples = 0;        // at the last dig
    double done = 0;                            // of this pass, in the bar's unit
  };

  Unit unit() const {
    if (!options.total || options.total->steps) return Unit::steps;
    return options.total->samples ? Unit::samples : Unit::seconds;
  }
  std::optional<double> total() const {
    if (!options.total) return of_looper_ ? number(of_looper_->read(*looper_)) : std::nullopt;
    const auto& [steps, samples, time, date] = *options.total;
    if (steps) return static_cast<double>(*steps);
    if (samples) return static_cast<double>(*samples);
    return time ? time->count() : std::max(0.0, Duration(*date - std::chrono::system_clock::now()).count());
  }
  std::int64_t count(const Field* field) const {
    double count = 0;
    if (!field->number || !field->number(*looper_, count)) count = number(field->read(*looper_)).value_or(0);
    return static_cast<std::int64_t>(count);
  }
  double done_at(Time now) const {
    double done = 0;
    switch (unit()) {
    case Unit::steps: done = static_cast<double>(pass_.steps - pass_.first); break;
    case Unit::samples: done = static_cast<double>(pass_.samples - pass_.first_samples); break;
    case Unit::seconds: done = before_ + Duration(now - since_).count(); break;
    }
    return total_ ? std::min(done, *total_) : done;
  }

  void begin(Time now, std::int64_t steps, std::int64_t first) {
    if (is_open()) finish();
    if (!std::exchange(resumed_, false) || first != pass_.first) {
      // The samples when the pass began: those at the last dig, and for the steps missed since as many as the
      // ones after them have.
      if (samples_ && steps > pass_.steps) {
        const double missed = double(first - pass_.steps) / double(steps - pass_.steps);
        pass_.samples += std::llround(missed * double(count(samples_) - pass_.samples));
      }
      pass_.first = first;
      pass_.first_samples = pass_.samples;
      pass_.done = 0;
      means_.clear();
      since_ = now;
      began_with_ = steps;
    }
    began_ = true;
    before_ = pass_.done;
    next_ = now;
    total_ = total();
    shown_.reset();
    shown_values_.clear();
    title_ = read(options.title);
    open();
    if (!is_live() && !total_) next_ += std::chrono::seconds(10);
    if (options.style == BarStyle::keras && !title_.empty() && (is_live() || options.lines > 0))
      print_above(terminal().out(), title_ + "\n");
  }

  bool is_due(Time now) const {
    if (is_live() || !total_) return now >= next_ && (is_live() || options.lines > 0);
    const auto line_at = [this](double done) { return std::floor(options.lines * done / *total_); };
    return line_at(pass_.done) > line_at(shown_.value_or(0));
  }

  template <class Take>
  static void each(const Value& value, std::string_view name, Take take) {
    const Opaque* object = std::get_if<Opaque>(&value);
    if (!object || !object->address || !(*object->type == type_id<Dict>)) return take(name, value);
    for (const auto& [key, entry] : *static_cast<const Dict*>(object->address)) take(key, entry);
  }
  static std::string_view name_of(const Input<Value>& input) {
    if (const auto* field = std::get_if<CallerField>(&input.source())) return field->field;
    const auto* look = std::get_if<Look>(&input.source());
    return look ? std::string_view(look->field()) : "";
  }
  void gather(double weight) {
    for (const Input<Value>& mean : options.means) {
      each(mean.value(*this), name_of(mean), [&](std::string_view name, const Value& value) {
        auto found =
            std::find_if(means_.begin(), means_.end(), [&](const auto& each) { return each.first == name; });
        if (found == means_.end()) found = means_.emplace(found, std::string(name), Accumulator<Moments>());
        const at::Tensor* tensor = std::get_if<at::Tensor>(&value);
        if (tensor && tensor->defined() && !tensor->is_cpu() && tensor->numel() == 1)
          found->second.defer(*tensor, weight);
        else if (const auto held = number(value)) found->second.add(*held, weight);
      });
    }
  }
  void read_values() {
    shown_values_.clear();
    const auto show = [this](std::string_view name, const Value& value) {
      add_value(shown_values_, options.style, name, value);
    };
    for (std::size_t i = 0; i < values.size(); ++i) each(values[i].value(*this), names_[i], show);
    for (const auto& [name, mean] : means_) {
      if (const Moments& moments = mean.gathered(); moments.count > 0)
        show(name, moments.weight > 0 ? moments.average : moments.last);
    }
  }

  // Since the pass began: what was before `since_` as long for each step as what came after.
  std::optional<double> seconds() const {
    const double since = Duration(last_ - since_).count();
    if (unit() == Unit::seconds) return before_ + since;
    if (began_with_ == pass_.first) return since;
    if (pass_.steps == began_with_) return std::nullopt;
    return since * double(pass_.steps - pass_.first) / double(pass_.steps - began_with_);
  }
  std::string text(bool ended) const {
    Progress at{.done = pass_.done, .total = total_, .ended = ended, .values = shown_values_};
    at.unit = options.unit                       ? std::string_view(*options.unit)
              : unit() == Unit::samples          ? "sample"
              : unit() == Unit::seconds          ? "s"
              : options.style == BarStyle::keras ? "step"
                                                 : "it";
    if (options.style == BarStyle::tqdm) at.title = title_;
    at.seconds = seconds();
    if (at.seconds && at.done > 0 && pass_.steps > began_with_) at.per_unit = *at.seconds / at.done;
    std::string text = bar_text(options.style, at, options.width);
    const int columns = terminal().columns().value_or(0) - 1;
    const int length = columns_of(text);
    if (columns > 0 && length > columns && total_)
      text = bar_text(options.style, at,
                      std::min(options.width, std::max(5, options.width - (length - columns))));
    return text;
  }

  bool is_over() const override {
    const Record position = run() ? run()->position() : Record(Record::List());
    if (position.is_nothing()) return false;
    const std::string path = run() ? run()->walk().path_of(*looper_) : "";
    for (const Record& frame : position.as<Record::List>()) {
      if (frame.at("node").as<std::string>() == path) return false;
    }
    return true;
  }
  void finish() override {
    const bool is_shown = shown_ == pass_.done && !is_live();
    const bool stays = is_live() ? options.leave : options.lines > 0;
    if (!is_shown) line = text(true);
    end(stays && !is_shown ? std::optional<std::string_view>(line) : std::nullopt);
  }

  std::vector<std::string> names_;  // of `values`
  std::vector<std::pair<std::string, Accumulator<Moments>>> means_;
  Pass pass_;
  std::optional<double> total_, shown_;  // shown_: what was done when it was drawn last
  Time since_;                   // from when on it times this pass: the first dig, or where a run goes on
  std::int64_t began_with_ = 0;  // the looper's steps then
  double before_ = 0;            // what was done of this pass then
  Time last_, next_;             // the last dig; when it may be drawn
  std::string title_, shown_values_;
  bool began_ = false, resumed_ = false;
  mutable const Node* looper_ = nullptr;  // found by the walk
  const Field *steps_ = nullptr, *counter_ = nullptr, *samples_ = nullptr, *of_looper_ = nullptr;
};

/// See `ProgressBarNode`. Values are a list, `{"average", {"loss", stats.get("average")}}`, or one built
/// before.
class ProgressBar : public Handle<ProgressBarNode> {
  using List = std::initializer_list<BarValue>;
  using Values = std::vector<BarValue>;
  using Options = ProgressBarOptions;

public:
  // Templates, so that only a file that makes one spends its compiler's time on it, and so that braces are
  // options or a list, never a vector.
  template <class Piece = ProgressBarNode>
  explicit ProgressBar(Options options = {}) : ProgressBar(std::cerr, Values(), std::move(options)) {}
  template <class Piece = ProgressBarNode>
  explicit ProgressBar(List values, Options options = {})
      : ProgressBar(std::cerr, Values(values), std::move(options)) {}
  template <std::same_as<Values> Given>
  explicit ProgressBar(Given values, Options options = {})
      : ProgressBar(std::cerr, std::move(values), std::move(options)) {}
  template <class Piece = ProgressBarNode>
  explicit ProgressBar(Terminal out, Options options = {})
      : ProgressBar(std::move(out), Values(), std::move(options)) {}
  template <class Piece = ProgressBarNode>
  ProgressBar(Terminal out, List values, Options options = {})
      : ProgressBar(std::move(out), Values(values), std::move(options)) {}
  template <std::same_as<Values> Given>
  ProgressBar(Terminal out, Given values, Options options = {})
      : Handle<ProgressBarNode>(std::move(out), std::move(values), std::move(options)) {}
};

}  // namespace abyme
