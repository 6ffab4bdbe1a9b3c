#pragma once

#include <abyme/core/ground.hpp>
#include <abyme/pass/autocast.hpp>
#include <abyme/pass/gradient_mode.hpp>
#include <abyme/pass/model.hpp>
#include <abyme/pass/step_function.hpp>
#include <abyme/pass/update.hpp>
#include <abyme/save/model_part.hpp>
#include <abyme/save/optimizer_part.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace abyme {

/// Runs a step function on each batch, and trains with its loss where there is an optimizer; without one it
/// evaluates.
///
///     ab::Pass train(model, optimizer, [&](const ab::Batch& batch) {
///       return torch::mse_loss(model->forward(batch.inputs), batch.targets);
///     });
///
/// The step function takes the batch by const reference and returns the loss, a tensor with one element, or a
/// struct with a member `loss`, whose other members the pass shows as fields under their names. The batch is
/// the `data` of the caller, a `DataLooper`; the walk compares its type. Accumulation, clipping, averages,
/// autocast and more are options, which come last: `{.clip_norm = 1}`; see `PassOptions`. Models and
/// optimizers: a module holder or `shared_ptr` is shared, an rvalue owned, an lvalue borrowed, so that it
/// must outlive the tree.
///
/// Events, children see the pass: `start` (gradients are none where a step begins, nothing is computed, what
/// the batch before showed is gone), `forward` (the step function has run), `loss`, with an optimizer also
/// `backward` (gradients are there) and, where `accumulate` batches or the data are over, `step` (parameters
/// are updated), `end`. Fields: `loss` (a tensor, on the model's device, without graph from `backward` on),
/// `batch_size` (samples in the batch, nothing where its type does not tell), `model`, `optimizer`, `data`,
/// `skipped` (steps left out, as `non_finite` and float16 do), `gradient_norm` (a tensor: of all gradients,
/// before they were clipped; nothing without `clip_norm`), `scale` (a tensor: of the loss, with float16),
/// `last` (with `accumulate`: whether this is the data's last batch), the options, and what the step function
/// shows.
///
/// A training pass sets gradients to none, computes with gradients on and the model in training mode; an
/// evaluating one computes with gradients off, in evaluation mode, and touches no gradient. Of these
/// only the mode holds while children run. It is switched only where it differs; a module frozen in
/// evaluation mode inside a model in training mode stays so, and when the run ends every module has the mode
/// that it had before. Averages and the scale of the loss live as long as the pass: a later run goes on with
/// them. A run that goes on from a snapshot shows the loss of the batch before, and what else had one
/// element, but no outputs until the next batch. \throws Error where the loss of a training pass has not one
/// element, and as `non_finite` says.
class PassNode : public Node {
public:
  static constexpr auto events = abyme::events("start", "forward", "loss", "backward", "step", "end");

  using Options = PassOptions;
  Options options;

  Input<Opaque> data = abyme::caller("data");
  std::optional<Input<bool>> last;
  std::int64_t skipped = 0;

  const at::Tensor& loss() const { return step_->loss(); }
  std::optional<std::int64_t> batch_size() const { return batch_size_; }
  /// Whether there is an optimizer.
  bool updates() const { return update_ != nullptr; }
  const torch::nn::Module& model() const { return *model_; }
  Opaque optimizer() const {
    return {&type_id<torch::optim::Optimizer>, updates() ? update_->optimizer().get() : nullptr};
  }
  at::Tensor gradient_norm() const { return updates() ? update_->norm() : at::Tensor(); }
  at::Tensor scale() const { return updates() ? update_->scale() : at::Tensor(); }
  /// The average of the parameters, null where the options ask for none.
  optim::WeightAverage* average() const {
    return updates() && update_->average() ? &*update_->average() : nullptr;
  }
  static constexpr auto fields = abyme::fields(
      field("loss", &PassNode::loss), field("batch_size", &PassNode::batch_size),
      field("model", &PassNode::model), field("optimizer", &PassNode::optimizer),
      field("data", &PassNode::data), field("last", &PassNode::last), state("skipped", &PassNode::skipped),
      field("gradient_norm", &PassNode::gradient_norm), field("scale", &PassNode::scale));

  template <ModelLike Model, OptimizerLike Optimizer, class Step>
  PassNode(Model&& model, Optimizer&& optimizer, Step step, Options options = {})
      : PassNode(std::forward<Model>(model), std::move(step), options) {
    train_with(std::forward<Optimizer>(optimizer));
  }
  template <ModelLike Model, class Step>
    requires(!OptimizerLike<Step>)
  PassNode(Model&& model, Step step, Options options = {})
      : options(options),
        model_(own_or_borrow_model(std::forward<Model>(model))),
        step_(std::make_unique<TypedStepFunction<Step>>(std::move(step))),
        result_fields_(result_fields_of<StepResult<Step>>()) {
    data.take_only(step_->batch_types());
    step_->channels_last = options.channels_last;
    if (options.accumulate > 1) last = abyme::caller("last");
  }

  Step next(Step finished) override {
    switch (finished.index) {  // on to the first event that somebody waits for
    case entry.index:
      begin();
      if (fires(events["start"])) return events["start"];
      [[fallthrough]];
    case events["start"].index:
      compute();
      if (fires(events["forward"])) return events["forward"];
      [[fallthrough]];
    case events["forward"].index:
      if (fires(events["loss"])) return events["loss"];
      [[fallthrough]];
    case events["loss"].index:
      if (!updates()) return events["end"];
      back();
      if (fires(events["backward"])) return events["backward"];
      [[fallthrough]];
    case events["backward"].index: return step() ? events["step"] : events["end"];
    case events["end"].index: return done;
    default: return events["end"];
    }
  }

  std::span<const Field> shown() const override {
    if (fields_.empty()) {  // what the step function shows takes the place of a field of the same name
      fields_.assign(result_fields_.begin(), result_fields_.end());
      const auto is_shown = [this](const Field& row) {
        for (const Field& result : result_fields_) {
          if (result.name == row.name) return true;
        }
        return false;
      };
      for (const Field& row : type().fields) {
        if (!is_shown(row)) fields_.push_back(row);
      }
    }
    return fields_;
  }

  void hold(Holdings& holdings) override {
    holdings.add("model", model_.get(), model_part(model_));
    holdings.add_own("result", {[this](Kept& kept) {
                                  keep(kept, "batch_size", batch_size_);
                                  step_->save(kept);
                                },
                                [this](const Kept& kept) {
                                  put_back(kept, "batch_size", batch_size_);
                                  step_->load(kept, device());
                                }});
    if (!updates()) return;
    holdings.add("optimizer", update_->optimizer().get(), optimizer_part(update_->optimizer()));
    holdings.add_own("update", {[this](Kept& kept) { update_->save(kept); },
                                [this](const Kept& kept) { update_->load(kept); }});
  }
  // Outputs and graph live for one dig.
  bool can_go_on_in(Step) const override { return false; }

  void check(Place& place) const override {
    reflect::check(options, updates(), updates() && update_->needs_closure(), place);
    if (options.channels_last && !step_->takes_channels_last()) {
      place.fault("channels_last needs a batch that abyme knows, got one of a type of your own; convert its "
                  "inputs in the step function, or use ab::Batch");
    }
    const Field* is_last = last && place.caller() ? place.caller()->find_field("last") : nullptr;
    if (is_last && kind(is_last->read(*place.caller())) == Kind::nothing) {
      place.fault(
          fmt::format("accumulate must know which batch is the last, got data of {} that has no size; "
                      "give it one, or limit it with ab::take",
                      place.caller()->name()));
    }
  }

  void run_started() override {
    device_ = device().type();
    if (options.channels_last) {
      for (const at::Tensor& parameter : model_->parameters())
        parameter.set_data(in_channels_last(parameter.data()));
    }
    if (updates()) update_->run_started();
    modes_.clear();
    modes_.emplace_back(model_.get(), model_->is_training());
    for (const auto& module : model_->modules(/*include_self=*/false))
      modes_.emplace_back(module.get(), module->is_training());
  }
  void run_ended() override {
    put_modes_back();
    modes_.clear();
    if (updates()) skipped += update_->hear();
  }

protected:
  template <OptimizerLike Optimizer>
  void train_with(Optimizer&& optimizer) {
    update_ = std::make_unique<Update>(model_, own_or_borrow(std::forward<Optimizer>(optimizer)), options);
  }

  /// What the step function returned last.
  template <class Result>
  const Result& result() const {
    return static_cast<const StepFunctionOf<Result>&>(*step_).result;
  }

private:
  template <class Result, std::size_t Index>
  struct GetResult {
    const auto& operator()(const PassNode& self) const {
      return std::get<Index>(members(self.result<Result>()));
    }
  };
  template <class Result>
  static std::span<const Field> result_fields_of() {
    if constexpr (std::same_as<Result, at::Tensor>) {
      return {};
    } else {
      static constexpr auto rows = []<std::size_t... I>(std::index_sequence<I...>) {
        return std::array{
            reflect::make_field<PassNode>(member_name<Result, I>, false, false, GetResult<Result, I>{})...};
      }(std::make_index_sequence<member_count<Result>>{});
      return rows;
    }
  }

  at::Device device() const {
    const auto parameters = model_->parameters();
    return parameters.empty() ? at::Device(at::kCPU) : parameters[0].device();
  }

  void set_mode(bool training) {
    if (model_->is_training() == training) return;
    if (training && modes_.front().second) put_modes_back();  // what was frozen inside stays so
    else model_->train(training);
  }
  void put_modes_back() {
    for (const auto& [module, training] : modes_) {  // parents first: a module sets all below it
      if (module->is_training() != training) module->train(training);
    }
  }

  // The parts of a step. They stay out of `next`, which would save in each call all registers that one of
  // them needs.
  [[gnu::noinline]] void begin() {
    step_->forget();
    batch_ = read(data);
    batch_size_ = step_->batch_size(batch_);
    set_mode(updates());
    if (updates()) update_->begin();
  }
  [[gnu::noinline]] void compute() {
    const GradientMode gradients(updates());
    const Autocast cast(options.autocast, device_);
    step_->compute(batch_);
  }
  [[gnu::noinline]] void back() {
    const at::Tensor& loss = step_->loss();
    if (loss.numel() != 1) {
      throw Error(
          fmt::format("the loss must have one element, got {}; take its mean or its sum", shape_text(loss)));
    }
    const GradientMode gradients(true);
    update_->back(loss, batch_size_);
    step_->drop_graph();
  }
  [[gnu::noinline]] bool step() {
    if (!update_->is_due(last && read(*last))) return false;
    skipped += update_->step(step_->loss(), [this] {
      const Autocast cast(options.autocast, device_);
      return step_->loss_of(batch_);
    });
    return true;
  }

  std::shared_ptr<torch::nn::Module> model_;
  std::unique_ptr<Update> update_;  // null: it evaluates
  std::unique_ptr<StepFunction> step_;
  at::DeviceType device_ = at::kCPU;  // of the model
  Opaque batch_;
  std::optional<std::int64_t> batch_size_;
  std::span<const Field> result_fields_;
  mutable std::vector<Field> fields_;  // all rows, made when somebody asks first
  std::vector<std::pair<torch::nn::Module*, bool>> modes_;
};
using Pass = Handle<PassNode>;

}  // namespace abyme
