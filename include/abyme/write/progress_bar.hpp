#pragma once

#include <abyme/core/ground.hpp>
#include <abyme/time/period.hpp>
#include <abyme/write/bar_text.hpp>
#include <abyme/write/bar_values.hpp>
#include <abyme/write/live_line.hpp>
#include <abyme/write/pass_progress.hpp>

#include <algorithm>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <functional>
#include <initializer_list>
#include <iostream>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace abyme {

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

/// See `ProgressBarNode`; a template, so that only a file that makes one spends its compiler's time on it.
template <class Clock = std::chrono::steady_clock>
class BasicProgressBarNode : public Node, private LiveLine {
public:
  using Options = ProgressBarOptions;

  std::vector<Input<Value>> values;
  std::string line;
  Options options;
  /// The clock that it goes by.
  std::function<PassProgress::Time()> clock = Clock::now;
  static constexpr auto fields = abyme::fields(field("values", &BasicProgressBarNode::values),
                                               field("line", &BasicProgressBarNode::line));

  BasicProgressBarNode(Terminal terminal, std::vector<BarValue> shown, Options options)
      : LiveLine(std::move(terminal)), options(std::move(options)) {
    for (BarValue& each : shown) {
      names_.push_back(std::move(each.name));
      values.push_back(std::move(each.value));
    }
    for (Input<Value>& mean : this->options.means) {  // a text is the name of a field
      if (const Value* text = mean.constant_value()) mean = abyme::caller(to_text(*text));
    }
  }

  Step next(Step) override {
    if (options.verbose == 0) return done;
    const PassProgress::Time now = clock();
    if (pass_.is_new()) begin(now);
    const double more = pass_.update(now);
    if (!is_open()) return done;
    for (const Input<Value>& mean : options.means) {
      each_bar_value(name_of(mean), mean.value(*this),
                     [&](std::string_view name, const Value& value) { means_.add(name, value, more); });
    }
    if (pass_.is_complete()) {
      read_values();
      finish();
    } else if (options.verbose == 1 && is_due(now)) {
      read_values();
      drawn_ = pass_.done();
      next_ = now + (is_live() ? std::chrono::round<std::chrono::nanoseconds>(options.interval)
                               : std::chrono::seconds(10));
      draw(line = text(false));
    }
    return done;
  }

  void restart() override {
    Node::restart();
    pass_.restart();
    means_.clear();
  }
  void run_started() override { pass_.watch(*looper_, options.total); }
  void run_ended() override {
    if (is_open()) finish();
  }
  void hold(Holdings& holdings) override {
    holdings.add_own("pass", {[this](Kept& kept) {
                                pass_.save(kept);
                                means_.save(kept);
                              },
                              [this](const Kept& kept) {
                                pass_.load(kept, clock());
                                means_.load(kept);
                              }});
  }

  void check(Place& place) const override {
    const Node* looper = PassProgress::looper_above(place);
    if (!looper)
      return place.fault("a bar needs a looper above it, which shows counter and steps, got none; hang it on "
                         "\"iteration_end\" of one");
    if (looper_ && looper_ != looper && place.walk().contains(*looper_))
      place.fault(fmt::format("a bar shows one looper, got {} and {}; make one for each", looper_->name(),
                              looper->name()));
    looper_ = looper;
    if (unit() == PassProgress::Unit::samples && !looper->find_field("samples"))
      place.fault(fmt::format("a total in samples needs a looper that counts them, got {}; give it in steps",
                              looper->name()));
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
  PassProgress::Unit unit() const { return PassProgress::unit(options.total); }

  void begin(PassProgress::Time now) {
    if (is_open()) finish();
    pass_.begin(now);
    if (pass_.done() == 0) means_.clear();
    if (pass_.done() > 0 && pass_.is_complete()) return;  // the run goes on behind its end
    next_ = now;
    drawn_.reset();
    shown_values_.clear();
    title_ = read(options.title);
    open();
    if (!is_live() && !pass_.total()) next_ += std::chrono::seconds(10);
    if (options.style == BarStyle::keras && !title_.empty() && (is_live() || options.lines > 0))
      print_above(terminal().out(), title_ + "\n");
  }

  bool is_due(PassProgress::Time now) const {
    if (is_live()) return now >= next_;
    if (!pass_.total()) return now >= next_ && options.lines > 0;
    const auto lines_at = [this](double done) { return std::floor(options.lines * done / *pass_.total()); };
    return lines_at(pass_.done()) > lines_at(drawn_.value_or(0));
  }
  static std::string_view name_of(const Input<Value>& input) {
    if (const auto* field = std::get_if<CallerField>(&input.source())) return field->field;
    const auto* look = std::get_if<Look>(&input.source());
    return look ? std::string_view(look->field()) : "";
  }
  void read_values() {
    shown_values_.clear();
    const auto show = [this](std::string_view name, const Value& value) {
      add_value(shown_values_, options.style, name, value);
    };
    for (std::size_t i = 0; i < values.size(); ++i) each_bar_value(names_[i], values[i].value(*this), show);
    means_.each(show);
  }

  std::string text(bool ended) const {
    const bool is_keras = options.style == BarStyle::keras;
    const std::string_view units[] = {is_keras ? "step" : "it", "sample", "s"};
    const Progress at{.done = pass_.done(),
                      .total = pass_.total(),
                      .seconds = pass_.seconds(),
                      .per_unit = pass_.seconds_per_unit(),
                      .ended = ended,
                      .unit = options.unit ? *options.unit : units[static_cast<std::size_t>(unit())],
                      .title = is_keras ? "" : std::string_view(title_),
                      .values = shown_values_};
    std::string text = bar_text(options.style, at, options.width);
    const int too_long = columns_of(text) - terminal().columns().value_or(1'000'000) + 1;
    if (too_long > 0 && at.total && options.width > 5)
      text = bar_text(options.style, at, std::max(5, options.width - too_long));
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
    const bool is_drawn = !is_live() && drawn_ == pass_.done();
    const bool stays = is_live() ? options.leave : options.lines > 0 && !is_drawn;
    if (!is_drawn) line = text(true);
    end(stays ? std::optional<std::string_view>(line) : std::nullopt);
  }

  std::vector<std::string> names_;  // of `values`
  PassProgress pass_;
  NamedMeans<> means_;
  PassProgress::Time next_;      // when it may be drawn
  std::optional<double> drawn_;  // what was done when it was
  std::string title_, shown_values_;
  mutable const Node* looper_ = nullptr;  // found by the walk
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
class ProgressBarNode : public BasicProgressBarNode<> {
  using BasicProgressBarNode::BasicProgressBarNode;
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
