#pragma once

#include <abyme/core/ground.hpp>
#include <abyme/data/generator_state.hpp>
#include <abyme/data/source.hpp>
#include <abyme/time/elapsed.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <utility>

namespace abyme {

/// Iterates over batches: one pass over its data a dig.
///
/// The data is any range of batches, also a `torch::data` loader: an rvalue is owned, a `shared_ptr` shared,
/// an lvalue borrowed, so that it must outlive the tree. Each dig asks it for `begin()` anew.
///
/// Events, children see the looper: `start`, then for each batch `iteration_start` and `iteration_end`, then
/// `end`. Fields: `data` (the batch, set before `iteration_start`, nothing in `start` and `end`; of the
/// range's own type), `counter` (0 at `start`; the index in `iteration_start`; the number completed in
/// `iteration_end` and `end`; every dig starts from 0), `total` (batches in a pass, nothing where the range
/// has no size), `fraction` (counter / total), `last` (whether the batch is the last, nothing where there is
/// no total), `steps` and `samples` (batches and samples completed since the run began, over all digs),
/// `done_before` (what was done in earlier runs). Empty data gives `start` and `end` only.
class DataLooperNode : public Node {
public:
  static constexpr auto events = abyme::events("start", "iteration_start", "iteration_end", "end");

  std::int64_t counter = 0;
  std::int64_t steps = 0;
  std::int64_t samples = 0;

  Elapsed done_before{0, 0, Duration(0), {}};  ///< what was done in earlier runs, counted in `elapsed`
  /// The samples in a batch, where its type does not tell them rightly.
  std::function<std::int64_t(const Opaque&)> batch_size;

  /// What is done since the run began.
  Elapsed elapsed() const {
    const Duration time = run() ? run()->time() : Duration(0);
    return {done_before.steps + steps, done_before.samples + samples, done_before.time + time};
  }

  Opaque data() const { return {&source_->batch_type(), batch_}; }

  /// The batch as a Batch. \throws Error where there is none yet, or the data has batches of another type.
  template <class Batch>
  const Batch& batch() const {
    if (!batch_ || !(source_->batch_type() == type_id<Batch>)) {
      throw Error(
          fmt::format("{}: batch must be asked for as the type of the data, {}, and during a pass, got {}",
                      name(), source_->batch_type().name, batch_ ? type_name<Batch> : "no batch"));
    }
    return *static_cast<const Batch*>(batch_);
  }

  /// The samples in the batch, 0 where there is none.
  std::int64_t samples_in_batch() const {
    if (!batch_) return 0;
    return batch_size ? batch_size(data()) : source_->batch_size(batch_);
  }

  std::optional<std::int64_t> total() const { return source_->total(); }
  std::optional<double> fraction() const {
    const auto batches = total();
    if (!batches) return std::nullopt;
    return *batches > 0 ? double(counter) / double(*batches) : 1.0;
  }
  /// Whether the batch is the last of the pass.
  std::optional<bool> last() const {
    const auto batches = total();
    return batches ? std::optional(drawn_ >= *batches) : std::nullopt;
  }
  static constexpr auto fields = abyme::fields(
      field("data", &DataLooperNode::data), state("counter", &DataLooperNode::counter),
      field("total", &DataLooperNode::total), field("fraction", &DataLooperNode::fraction),
      field("last", &DataLooperNode::last), state("steps", &DataLooperNode::steps),
      state("samples", &DataLooperNode::samples), state("done_before", &DataLooperNode::done_before));

  template <class Data>
    requires BatchRange<std::remove_reference_t<decltype(*own_or_borrow(std::declval<Data>()))>>
  explicit DataLooperNode(Data&& data) {
    auto range = own_or_borrow(std::forward<Data>(data));
    source_ = std::make_unique<RangeSource<std::remove_reference_t<decltype(*range)>>>(std::move(range));
  }

  Step next(Step finished) override {
    if (finished == events["end"]) return done;
    if (finished == entry) {
      counter = 0;
      begin();
      return events["start"];
    }
    if (finished != events["iteration_start"]) {
      draw();
      if (!batch_) return events["end"];
      if (fires(events["iteration_start"])) return events["iteration_start"];
    }
    ++counter;
    ++steps;
    samples += samples_in_batch();
    return events["iteration_end"];
  }

  void check(Place& place) const override {
    if (!has_children()) place.fault("a looper needs a child, got none; hang one on \"iteration_end\"");
  }

  void run_started() override { keeps_ = run()->keeps_positions(); }

  void hold(Holdings& holdings) override {
    holdings.add_own("data", {[this](Kept& kept) { save(kept); }, [this](const Kept& kept) { load(kept); }});
  }

private:
  void begin() {
    if (keeps_) {  // a snapshot in this pass goes through it again, up to where it was
      at_begin_ = Kept();
      source_->save(at_begin_);
      is_random_ = source_->may_draw_at_random();
      before_orders_ = {};
    }
    is_over_ = false;
    batch_ = nullptr;
    drawn_ = 0;
    source_->restart();
  }
  void draw() {
    const bool keeps = keeps_ && is_random_;
    const std::int64_t orders = keeps ? source_->orders_drawn() : 0;
    if (keeps) before_draw_ = generator_state(default_generator());
    batch_ = source_->next();  // the last batch is gone where it lay in the range's iterator
    if (keeps && source_->orders_drawn() != orders) before_orders_.emplace_back(drawn_, before_draw_);
    drawn_ += batch_ != nullptr;
    is_over_ = batch_ == nullptr;
  }

  void save(Kept& kept) const {
    kept.data["drawn"] = drawn_;
    kept.data["has_batch"] = batch_ != nullptr;
    kept.data["is_over"] = is_over_;
    if (is_over_) kept.save_part("source", *source_);
    else kept.set_part("source", at_begin_);
    if (!is_random_ || is_over_) return;
    keep(kept, "before_orders", before_orders_);
    keep(kept, "before_draw", before_draw_);
  }
  // The default generator is put right by the snapshot, later.
  void load(const Kept& kept) {
    source_->load(kept.part("source"));
    const auto drawn = kept.data.at("drawn").as<std::int64_t>();
    const bool is_over = kept.data.at("is_over").as<bool>();
    if (is_over) {
      drawn_ = drawn;
      return;
    }
    Orders before_orders;
    at::Tensor before_draw;
    if (kept.data.find("before_draw")) {
      put_back(kept, "before_orders", before_orders);
      put_back(kept, "before_draw", before_draw);
    }
    begin();
    while (drawn_ < drawn) {
      at::Tensor state = drawn_ == drawn - 1 ? before_draw : at::Tensor();
      for (const auto& [number, before] : before_orders) {
        if (number == drawn_) state = before;
      }
      if (state.defined()) set_generator_state(default_generator(), state);
      draw();
      if (!batch_)
        throw Error(
            fmt::format("{}: the data must be that of the snapshot, got {} batches where it had at least "
                        "{}; give it the same data",
                        name(), drawn_, drawn));
    }
  }

  std::unique_ptr<Source> source_;
  const void* batch_ = nullptr;
  std::int64_t drawn_ = 0;  // batches in this pass, the present one included
  bool is_over_ = true;     // no pass is under way

  // For snapshots, where the tree takes some:
  bool keeps_ = false, is_random_ = false;
  Kept at_begin_;  // what the source was when this pass began
  // The default generator's states, where batches may depend on it: before the last batch was drawn, and
  // before those with which a range drew its order. Numbers are those of the batches.
  using Orders = std::vector<std::pair<std::int64_t, at::Tensor>>;
  at::Tensor before_draw_;
  Orders before_orders_;
};
using DataLooper = Handle<DataLooperNode>;

}  // namespace abyme
