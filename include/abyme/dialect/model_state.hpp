#pragma once

#include <abyme/dialect/managed.hpp>
#include <abyme/pass/supervised_pass.hpp>
#include <abyme/stats/metrics/mean.hpp>

#include <algorithm>
#include <concepts>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace abyme::tasks {

/// A loss by its name: any callable of (outputs, targets), or of (outputs, targets, weights: undefined
/// where a batch has none), that returns a
/// tensor with one element. Criteria of `torch::nn` are some.
struct NamedLoss {
  std::string name;
  std::function<at::Tensor(const at::Tensor& outputs, const at::Tensor& targets, const at::Tensor& weights)>
      loss;

  template <class F>
  NamedLoss(std::string name, F function) : name(std::move(name)) {
    if constexpr (takes_weights<F>()) {
      loss = std::move(function);
    } else {
      static_assert(std::is_invocable_r_v<at::Tensor, F&, at::Tensor, at::Tensor>,
                    "a loss takes (outputs, targets) or (outputs, targets, weights), and returns a tensor");
      loss = [function = std::move(function)](const at::Tensor& outputs, const at::Tensor& targets,
                                              const at::Tensor&) mutable {
        return function(outputs, targets);
      };
    }
  }

private:
  template <class F>
  static constexpr bool takes_weights() {
    if constexpr (ModelLike<F>) return false;  // and to ask one is an error
    else return std::is_invocable_r_v<at::Tensor, F&, at::Tensor, at::Tensor, at::Tensor>;
  }
};

namespace reflect {
// The mean over samples of what a function says of each batch.
template <class F>
struct MeanOf {
  F function;
  metrics::Mean mean;

  void update(const at::Tensor& outputs, const at::Tensor& targets) {
    const auto value = function(outputs, targets);
    const double samples = targets.dim() > 0 ? double(targets.size(0)) : 1;
    mean.update(value, samples);
  }
  std::optional<double> value() const { return mean.value(); }
  void merge(const MeanOf& other) { mean.merge(other.mean); }
  void save(Kept& kept) const { keep(kept, "mean", mean); }
  void load(const Kept& kept) { put_back(kept, "mean", mean); }
};
}  // namespace reflect

namespace reflect {
template <>
inline constexpr bool is_code<NamedLoss> = true;
}  // namespace reflect

/// A metric by its name: one of `ab::metrics`, or a function of (outputs, targets), whose mean over samples
/// is taken.
struct NamedMetric {
  std::string name;
  std::function<void(Statistics&)> add;

  template <class M>
  NamedMetric(std::string name, M metric) : name(std::move(name)) {
    if constexpr (metrics::Metric<M>) {
      static_assert(metrics::TakesPredictions<M>, "a metric of a state is updated with (outputs, targets)");
      add = [name = this->name, metric](Statistics& all) { all.add(name, metric); };
    } else {
      static_assert(std::invocable<M&, const at::Tensor&, const at::Tensor&>,
                    "a metric is one of ab::metrics, or a function of (outputs, targets)");
      add = [name = this->name, metric](Statistics& all) { all.add(name, reflect::MeanOf<M>{metric, {}}); };
    }
  }
};

/// Inputs, targets, and the weights of samples; undefined what a batch does not have.
using BatchParts = std::tuple<at::Tensor, at::Tensor, at::Tensor>;
inline BatchParts parts_of(const at::Tensor& inputs) { return {inputs, {}, {}}; }
inline BatchParts parts_of(const BatchParts& parts) { return parts; }
template <class Batch>
  requires std::invocable<const InputsAndTargets&, const Batch&>
BatchParts parts_of(const Batch& batch) {
  auto [inputs, targets] = InputsAndTargets()(batch);
  return {std::move(inputs), std::move(targets), {}};
}

namespace reflect {
// The outputs of the model, its losses, and what the metrics make of them.
template <class Batch>
consteval void check_batch() {
  static_assert(
      requires(const Batch& batch) { parts_of(batch); },
      "a batch of a ready-made state is a tensor of inputs; ab::Batch, torch::data::Example<> or a pair, of "
      "inputs and targets; or a tuple of these and weights: map the data to one of these");
}
struct ComputeLosses {
  template <class State, class Batch>
  Logs operator()(State& state, const Batch& batch) const {
    check_batch<Batch>();
    const auto [inputs, targets, weights] = parts_of(batch);
    if (!targets.defined())
      throw Error(
          "a train or test step: a batch must have targets, got inputs alone; give pairs, or ab::Batch");
    const at::Tensor outputs = state.model->forward(inputs);
    const double samples = inputs.dim() > 0 ? double(inputs.size(0)) : 1;
    Logs logs;
    for (const NamedLoss& each : state.losses) {
      const at::Tensor loss = each.loss(outputs, targets, weights);
      logs.add_loss(each.name, loss);
      for (const std::string& name : state.averaged) {
        if (name == "avg_" + each.name) state.statistics[name].update(loss.detach(), samples);
      }
    }
    for (const std::string& name : state.metrics)
      state.statistics[name].update(outputs.detach(), targets, weights);
    return logs;
  }
};
struct ComputeOutputs {
  template <class State, class Batch>
  Logs operator()(State& state, const Batch& batch) const {
    check_batch<Batch>();
    return Logs().add_output("preds", state.model->forward(std::get<0>(parts_of(batch))));
  }
};
}  // namespace reflect

/// A state with all steps of the ready-made loops, which find them by their names: made by
/// `ab::tasks::create_state`.
template <class Model>
struct ModelState {
  Model model;
  std::shared_ptr<torch::optim::Optimizer> optimizer;
  Strategy strategy = eager();
  std::int64_t step = 0;
  Statistics statistics = {};
  std::vector<NamedLoss> losses = {};
  std::vector<std::string> metrics = {};   ///< those of the statistics that take outputs and targets
  std::vector<std::string> averaged = {};  ///< those that are means of losses
  ManagedStep<reflect::ComputeLosses, true> train = {};
  ManagedStep<reflect::ComputeLosses, false> test = {};
  ManagedStep<reflect::ComputeOutputs, false> predict = {};

  /// The loss is the sum of all.
  template <class Batch>
  Logs train_step(const Batch& batch) {
    return train(*this, batch);
  }
  template <class Batch>
  Logs test_step(const Batch& batch) {
    return test(*this, batch);
  }
  /// Logs `outputs.preds`.
  template <class Batch>
  Logs predict_step(const Batch& batch) {
    return predict(*this, batch);
  }
  /// Starts the metrics anew.
  void reset_step() { statistics.reset(); }
};

struct StateOptions {
  std::vector<NamedLoss> losses = {};     ///< at least one, to train
  std::vector<NamedMetric> metrics = {};  ///< of outputs and targets; started anew by `reset_step`
  Strategy strategy = eager();
};

/// A model, an optimizer, losses and metrics, and all steps are there:
///
///     auto state = ab::tasks::create_state(model, optimizer,
///                                          {.losses = {{"loss", torch::nn::CrossEntropyLoss()}},
///                                           .metrics = {{"accuracy", ab::metrics::Accuracy()}}});
///     ab::tasks::train_loop(state, train_data, {}, {.test_data = make_test_data, .epoch_duration = 1000});
///
/// Batches are `ab::Batch`, `torch::data::Example<>`, a pair of inputs and targets, a tuple of these and the
/// weights of samples, which go to losses and metrics that take them, and to predict inputs alone. Each loss
/// is logged under "losses", its mean since the last reset as `avg_NAME` unless a metric has that name;
/// metrics under "stateful_metrics". \param model a module holder, which is shared; \param optimizer as in a
/// pass. \throws Error with a strategy whose steps can't gather
template <ModuleHolderLike Model, OptimizerLike Optimizer>
ModelState<std::remove_cvref_t<Model>> create_state(Model&& model, Optimizer&& optimizer,
                                                    StateOptions options) {
  if (!options.strategy.gathers)
    throw Error(
        fmt::format("create_state: its steps gather means, which the strategy {} can't; take another, or "
                    "ab::tasks::managed",
                    options.strategy.name));
  ModelState<std::remove_cvref_t<Model>> state{std::forward<Model>(model),
                                               own_or_borrow(std::forward<Optimizer>(optimizer)),
                                               std::move(options.strategy)};
  for (const NamedMetric& each : options.metrics) {
    each.add(state.statistics);
    state.metrics.push_back(each.name);
  }
  for (const NamedLoss& each : options.losses) {
    const std::string name = "avg_" + each.name;
    if (std::find(state.metrics.begin(), state.metrics.end(), name) != state.metrics.end()) continue;
    state.statistics.add(name, metrics::Mean());
    state.averaged.push_back(name);
  }
  state.losses = std::move(options.losses);
  return state;
}

}  // namespace abyme::tasks
