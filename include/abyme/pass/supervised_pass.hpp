#pragma once

#include <abyme/data/batch.hpp>
#include <abyme/pass/pass.hpp>

#include <torch/data/example.h>

#include <memory>
#include <tuple>
#include <utility>

namespace abyme {

/// The inputs and targets of the batches that abyme knows: `ab::Batch`, `torch::data::Example<>`, a pair of
/// tensors.
struct InputsAndTargets {
  using Batches = std::tuple<Batch, torch::data::Example<>, std::pair<at::Tensor, at::Tensor>>;
  std::pair<at::Tensor, at::Tensor> operator()(const Batch& batch) const {
    return {batch.inputs, batch.targets};
  }
  std::pair<at::Tensor, at::Tensor> operator()(const torch::data::Example<>& batch) const {
    return {batch.data, batch.target};
  }
  std::pair<at::Tensor, at::Tensor> operator()(const std::pair<at::Tensor, at::Tensor>& batch) const {
    return batch;
  }
};

/// What a supervised pass shows.
struct SupervisedResult {
  at::Tensor loss;
  at::Tensor outputs;
  at::Tensor inputs;
  at::Tensor targets;
};

/// What makes inputs and targets of a batch, the argument behind a criterion.
template <class T>
concept Formatter = std::copy_constructible<T> && !std::same_as<T, PassOptions> &&
                    requires { typename reflect::BatchTypes<T>::type; };

/// loss = criterion(model(inputs), targets), as a step function.
template <class Module, class Criterion, class Format>
struct SupervisedStep {
  using Batches = typename reflect::BatchTypes<Format>::type;
  std::shared_ptr<Module> model;
  Criterion criterion;
  Format formatter;

  template <class AnyBatch>
  SupervisedResult operator()(const AnyBatch& batch) {
    auto [inputs, targets] = formatter(batch);
    at::Tensor outputs = model->forward(inputs);
    at::Tensor loss = criterion(outputs, targets);
    return {std::move(loss), std::move(outputs), std::move(inputs), std::move(targets)};
  }
};

/// A `Pass` (see there for events, ownership and modes) whose loss is criterion(model(inputs), targets).
///
///     ab::SupervisedPass train(model, optimizer, torch::nn::MSELoss()), test(model, torch::nn::MSELoss());
///
/// The criterion is any callable of (outputs, targets) that returns a tensor with one element. The formatter,
/// last, takes the batch by const reference and returns a pair of inputs and targets; without one the batch
/// is `ab::Batch`, `torch::data::Example<>` or a pair of tensors. `PassOptions` come last of all. Fields
/// beside those of `Pass`: `outputs`, `inputs`, `targets`.
class SupervisedPassNode : public PassNode {
public:
  template <ModelLike Model, OptimizerLike Optimizer, class Criterion>
  SupervisedPassNode(Model&& model, Optimizer&& optimizer, Criterion criterion, Options options = {})
      : SupervisedPassNode(std::forward<Model>(model), std::forward<Optimizer>(optimizer),
                           std::move(criterion), InputsAndTargets(), options) {}
  template <ModelLike Model, OptimizerLike Optimizer, class Criterion, Formatter Format>
  SupervisedPassNode(Model&& model, Optimizer&& optimizer, Criterion criterion, Format formatter,
                     Options options = {})
      : SupervisedPassNode(std::forward<Model>(model), std::move(criterion), std::move(formatter), options) {
    train_with(std::forward<Optimizer>(optimizer));
  }
  template <ModelLike Model, class Criterion>
    requires(!OptimizerLike<Criterion>)
  SupervisedPassNode(Model&& model, Criterion criterion, Options options = {})
      : SupervisedPassNode(std::forward<Model>(model), std::move(criterion), InputsAndTargets(), options) {}
  template <ModelLike Model, class Criterion, Formatter Format>
    requires(!OptimizerLike<Criterion>)
  SupervisedPassNode(Model&& model, Criterion criterion, Format formatter, Options options = {})
      : SupervisedPassNode(Shared{}, own_or_borrow_model(std::forward<Model>(model)), std::move(criterion),
                           std::move(formatter), options) {}

  const at::Tensor& outputs() const { return result<SupervisedResult>().outputs; }
  const at::Tensor& inputs() const { return result<SupervisedResult>().inputs; }
  const at::Tensor& targets() const { return result<SupervisedResult>().targets; }

private:
  struct Shared {};
  template <class Module, class Criterion, class Format>
  SupervisedPassNode(Shared, std::shared_ptr<Module> model, Criterion criterion, Format formatter,
                     Options options)
      : PassNode(model,
                 SupervisedStep<Module, Criterion, Format>{model, std::move(criterion), std::move(formatter)},
                 options) {}
};
using SupervisedPass = Handle<SupervisedPassNode>;

/// The share of samples whose largest output [batch, classes] is their target [batch] (int64), as a tensor on
/// the model's device: `ab::Stats(ab::accuracy, {.weight = "batch_size"})` below a supervised pass.
inline at::Tensor accuracy(const SupervisedPassNode& pass) {
  return pass.outputs().argmax(1).eq(pass.targets()).to(at::kFloat).mean();
}

}  // namespace abyme
