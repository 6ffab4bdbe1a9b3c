#pragma once

#include <abyme/core/ground.hpp>
#include <abyme/pass/model.hpp>
#include <abyme/pass/step_function.hpp>

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
/// the `data` of the caller, a `DataLooper`; the walk compares its type. Models and optimizers: a module
/// holder or `shared_ptr` is shared, an rvalue owned, an lvalue borrowed, so that it must outlive the tree.
///
/// Events, children see the pass: `start` (gradients are none, nothing is computed, what the step before
/// showed is gone), `forward` (the step function has run), `loss`, with an optimizer also `backward`
/// (gradients are there) and `step` (parameters are updated), `end`. Fields: `loss` (a tensor, on the model's
/// device, without graph from `backward` on), `batch_size` (samples in the batch, nothing where its type does
/// not tell), `model`, `optimizer`, `data`, and what the step function shows.
///
/// A training pass sets gradients to none, computes with gradients on and the model in training mode; an
/// evaluating one computes with gradients off, in evaluation mode, and touches no gradient. Of these
/// only the mode holds while children run. It is switched only where it differs; a module frozen in
/// evaluation mode inside a model in training mode stays so, and when the run ends every module has the mode
/// that it had before. \throws Error where the loss of a training pass has not one element.
class PassNode : public Node {
public:
  static constexpr auto events = abyme::events("start", "forward", "loss", "backward", "step", "end");

  Input<Opaque> data = abyme::caller("data");

  const at::Tensor& loss() const { return step_->loss(); }
  std::optional<std::int64_t> batch_size() const { return batch_size_; }
  /// Whether there is an optimizer.
  bool updates() const { return optimizer_ != nullptr; }
  const torch::nn::Module& model() const { return *model_; }
  Opaque optimizer() const { return {&type_id<torch::optim::Optimizer>, optimizer_.get()}; }
  static constexpr auto fields =
      abyme::fields(field("loss", &PassNode::loss), field("batch_size", &PassNode::batch_size),
                    field("model", &PassNode::model), field("optimizer", &PassNode::optimizer),
                    field("data", &PassNode::data));

  template <ModelLike Model, OptimizerLike Optimizer, class Step>
  PassNode(Model&& model, Optimizer&& optimizer, Step step)
      : PassNode(std::forward<Model>(model), std::move(step)) {
    train_with(std::forward<Optimizer>(optimizer));
  }
  template <ModelLike Model, class Step>
    requires(!OptimizerLike<Step>)
  PassNode(Model&& model, Step step)
      : model_(own_or_borrow_model(std::forward<Model>(model))),
        step_(std::make_unique<TypedStepFunction<Step>>(std::move(step))),
        result_fields_(result_fields_of<StepResult<Step>>()) {
    data.take_only(step_->batch_types());
  }

  Step next(Step finished) override {
    if (finished == entry) {
      step_->forget();
      batch_ = read(data);
      batch_size_ = step_->batch_size(batch_);
      set_mode(updates());
      if (optimizer_) optimizer_->zero_grad();
      return events["start"];
    }
    if (finished == events["start"]) {
      const at::AutoGradMode gradients(updates());
      step_->compute(batch_);
      return events["forward"];
    }
    if (finished == events["forward"]) return events["loss"];
    if (finished == events["loss"] && updates()) {
      back();
      return events["backward"];
    }
    if (finished == events["backward"]) {
      optimizer_->step();
      return events["step"];
    }
    return finished == events["end"] ? done : events["end"];
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

  void run_started() override {
    modes_.clear();
    modes_.emplace_back(model_.get(), model_->is_training());
    for (const auto& module : model_->modules(/*include_self=*/false))
      modes_.emplace_back(module.get(), module->is_training());
  }
  void run_ended() override {
    put_modes_back();
    modes_.clear();
  }

protected:
  template <OptimizerLike Optimizer>
  void train_with(Optimizer&& optimizer) {
    optimizer_ = own_or_borrow(std::forward<Optimizer>(optimizer));
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

  void back() {
    const at::Tensor& loss = step_->loss();
    if (loss.numel() != 1) {
      throw Error(
          fmt::format("the loss must have one element, got {}; take its mean or its sum", shape_text(loss)));
    }
    const at::AutoGradMode gradients(true);
    loss.backward();
    step_->drop_graph();
  }

  std::shared_ptr<torch::nn::Module> model_;
  std::shared_ptr<torch::optim::Optimizer> optimizer_;
  std::unique_ptr<StepFunction> step_;
  Opaque batch_;
  std::optional<std::int64_t> batch_size_;
  std::span<const Field> result_fields_;
  mutable std::vector<Field> fields_;  // all rows, made when somebody asks first
  std::vector<std::pair<torch::nn::Module*, bool>> modes_;
};
using Pass = Handle<PassNode>;

}  // namespace abyme
