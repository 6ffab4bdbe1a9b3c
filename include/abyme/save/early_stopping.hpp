#pragma once

#include <abyme/pass/model.hpp>
#include <abyme/save/model_part.hpp>
#include <abyme/trigger/on.hpp>

#include <cmath>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>

namespace abyme {

struct EarlyStoppingOptions {
  double min_delta = 0;                 ///< what is better by no more than this is no improvement
  bool high_is_better = false;          ///< as for an accuracy
  std::optional<double> baseline = {};  ///< what the first value must improve on; none: it is one anyhow
};

/// Digs its children when a value has not improved for a period, and puts the best weights of a model back
/// before, where it is given one:
///
///     epochs("iteration_end", test_data,
///            ab::EarlyStopping("average", 5, model).focus(test_loss)("dig", ab::Break(epochs)));
///
/// The value is looked at in each dig. The period counts in the nearest looper above, in steps (of epochs:
/// epochs), samples or time, from the last improvement on, from the first dig where there is none: with 0 it
/// fires at once. Once over, it fires in each dig that brings no improvement. Not-a-number is no improvement.
/// The best weights are copied where the model lies, and are held by snapshots.
///
/// Event: `dig`. Transparent: children see its caller. Fields: `monitor` (the value), `patience`, `best`
/// (nothing before the first improvement), `since` (when the best one was, or the first dig), its options.
class EarlyStoppingNode : public Node {
public:
  using Options = EarlyStoppingOptions;
  static constexpr auto events = abyme::events("dig");
  static constexpr bool transparent = true;

  Input<double> monitor;
  Period period;
  Options options;
  std::optional<double> best;
  std::optional<Elapsed> since;
  std::string patience() const { return period.text(); }
  static constexpr auto fields = abyme::fields(
      field("monitor", &EarlyStoppingNode::monitor), option("patience", &EarlyStoppingNode::patience),
      state("best", &EarlyStoppingNode::best), state("since", &EarlyStoppingNode::since));

  EarlyStoppingNode(Input<double> monitor, Period patience, Options options = {})
      : monitor(std::move(monitor)), period(std::move(patience)), options(options) {}
  /// \param model whose best weights are put back; as in a pass: an rvalue is owned, a module holder shared
  template <class Model>
    requires(ModelLike<Model>)
  EarlyStoppingNode(Input<double> monitor, Period patience, Model&& model, Options options = {})
      : EarlyStoppingNode(std::move(monitor), std::move(patience),
                          model_part(own_or_borrow_model(std::forward<Model>(model))), options) {}
  /// \param part anything that can be saved and put back
  EarlyStoppingNode(Input<double> monitor, Period patience, Part part, Options options = {})
      : EarlyStoppingNode(std::move(monitor), std::move(patience), options) {
    part_ = std::move(part);
  }

  Step next(Step finished) override {
    if (finished != entry) return done;
    const Elapsed now = *run()->elapsed();
    const double value = read(monitor);
    if (improves(value)) {
      best = value;
      since = now;
      if (part_) best_part_ = copy_of(*part_);
    }
    if (!since) since = now;
    if (!period.reached(now - *since)) return done;
    if (best_part_) part_->load(*best_part_);
    return events["dig"];
  }

  void restart() override {
    Node::restart();
    best_part_.reset();
  }
  void hold(Holdings& holdings) override {
    if (!part_) return;
    holdings.add_own("best", {[this](Kept& kept) { keep_best(kept); },
                              [this](const Kept& kept) {
                                best_part_.reset();
                                if (kept.data.at("there").as<bool>()) best_part_ = kept.part("part");
                              }});
  }
  void check(Place& place) const override {
    need_looper(place, "patience", period.samples.has_value());
    if (period.date) place.fault("patience must be in steps, samples or time, got a date; pass one of these");
    if (options.min_delta < 0)
      place.fault(fmt::format("min_delta must be at least 0, got {}; pass 0 to count every improvement",
                              options.min_delta));
  }

private:
  bool improves(double value) const {
    if (std::isnan(value)) return false;
    const std::optional<double> reference = best ? best : options.baseline;
    if (!reference) return true;
    return options.high_is_better ? value > *reference + options.min_delta
                                  : value < *reference - options.min_delta;
  }
  void keep_best(Kept& kept) const {
    kept.data["there"] = best_part_.has_value();
    if (best_part_) kept.set_part("part", *best_part_);
  }
  static Kept copy_of(const Part& part) {
    Kept now, copy;
    part.save(now);
    copy.data = now.data;
    for (const auto& [name, tensor] : now.tensors()) copy.add(name, tensor.detach().clone());
    return copy;
  }

  std::optional<Part> part_;
  std::optional<Kept> best_part_;
};
using EarlyStopping = Handle<EarlyStoppingNode>;

}  // namespace abyme
