#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/grad_mode.h>
#include <ATen/core/ivalue.h>
#include <ATen/ops/ones_like.h>
#include <ATen/record_function.h>
#include <fmt/ranges.h>

#include <abyme/optim/memory_order.hpp>

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace abyme {

// LibTorch's modules have no hooks, and users write modules of their own. But every operator goes through
// the dispatcher, which tells its observers the arguments: whoever reads the memory of a weight uses it, in
// whatever module that is. The dispatcher also makes such a call again, with arguments of our choice.

using CallArguments = c10::ArrayRef<const c10::IValue>;

/// The arguments of a call that an observer sees. LibTorch's own `inputs()` can't be used: in a program built
/// without NDEBUG it reads a flag that the library, built with it, never sets.
CallArguments observed_arguments(const at::RecordFunction& call);
template <auto Member>
struct ObservedArguments {
  friend inline CallArguments observed_arguments(const at::RecordFunction& call) { return call.*Member; }
};
template struct ObservedArguments<&at::RecordFunction::inputs_>;  // here, and only here, private names are
                                                                  // free

/// A call of an operator that read a weight.
struct WeightUse {
  c10::OperatorHandle op;
  std::vector<c10::IValue> arguments;  ///< tensors without their history
  struct Place {
    std::size_t argument;
    bool transposed;  ///< the argument was `weight.t()`
  };
  std::vector<Place> places;  ///< where the weight goes
};

/// What a model does with a weight.
struct WeightUses {
  std::vector<WeightUse> calls;
  bool repeatable = true;   ///< all is in `calls`
  bool multiplied = false;  ///< in a matrix product
  bool convolved = false;

  /// The same for layers alike: operators, shapes, strides, and what needs gradients.
  std::string signature() const {
    std::string text;
    for (const WeightUse& call : calls) {
      text += c10::toString(call.op.operator_name());
      for (const c10::IValue& argument : call.arguments) {
        if (!argument.isTensor() || !argument.toTensor().defined()) continue;
        const at::Tensor& tensor = argument.toTensor();
        text += fmt::format(" {} [{}] [{}] {}", at::toString(tensor.scalar_type()),
                            fmt::join(tensor.sizes(), ","), fmt::join(tensor.strides(), ","),
                            tensor.requires_grad());
      }
    }
    return text;
  }
};

/// As long as one lives, it collects what the operators called on its thread do with the weights.
class WatchWeights {
public:
  explicit WatchWeights(const std::vector<at::Tensor>& weights) : outer_(std::exchange(current, this)) {
    for (const at::Tensor& weight : weights) weights_[weight.storage().unsafeGetStorageImpl()] = weight;
    callback_ = at::addThreadLocalCallback(
        at::RecordFunctionCallback(&begin, &end).needsInputs(true).scopes({at::RecordScope::FUNCTION}));
  }
  ~WatchWeights() {
    at::removeCallback(callback_);
    current = outer_;
  }
  WatchWeights(const WatchWeights&) = delete;
  WatchWeights& operator=(const WatchWeights&) = delete;

  const WeightUses& of(const at::Tensor& weight) { return uses_[weight.unsafeGetTensorImpl()]; }

private:
  static inline thread_local WatchWeights* current = nullptr;

  struct Noted : at::ObserverContext {};

  // An operator is within another one where its observer is between begin and end.
  static std::unique_ptr<at::ObserverContext> begin(const at::RecordFunction& call) {
    const auto name = call.operator_name();
    if (!name || current == nullptr) return nullptr;
    if (current->depth_++ == 0) {
      if (const auto op = c10::Dispatcher::singleton().findSchema(*name))
        current->note(*op, observed_arguments(call));
    }
    return std::make_unique<Noted>();
  }
  static void end(const at::RecordFunction&, at::ObserverContext* context) {
    if (context != nullptr && current != nullptr) --current->depth_;
  }

  const at::Tensor* weight_behind(const at::Tensor& tensor) const {
    if (!tensor.defined() || !tensor.has_storage()) return nullptr;
    const auto found = weights_.find(tensor.storage().unsafeGetStorageImpl());
    return found == weights_.end() ? nullptr : &found->second;
  }

  void note(const c10::OperatorHandle& op, CallArguments arguments) {
    const at::DisableRecordFunctionGuard unobserved;
    const auto& schema = op.schema().arguments();
    std::unordered_map<const at::TensorImpl*, std::vector<WeightUse::Place>> places;
    for (std::size_t i = 0; i < arguments.size(); ++i) {
      if (arguments[i].isTensorList()) {
        for (const at::Tensor& tensor : arguments[i].toTensorVector()) {
          if (const at::Tensor* weight = weight_behind(tensor)) uses(*weight).repeatable = false;
        }
      }
      if (!arguments[i].isTensor()) continue;
      const at::Tensor& tensor = arguments[i].toTensor();
      const at::Tensor* weight = weight_behind(tensor);
      if (weight == nullptr) continue;
      if (const auto* alias = i < schema.size() ? schema[i].alias_info() : nullptr) {
        if (alias->isWrite()) uses(*weight).repeatable = false;
        continue;  // it makes a view, which somebody reads later
      }
      const bool whole = tensor.sizes() == weight->sizes() && tensor.strides() == weight->strides();
      const bool transposed = !whole && tensor.dim() == 2 && weight->dim() == 2 &&
                              tensor.sizes() == weight->t().sizes() &&
                              tensor.strides() == weight->t().strides();
      if (whole || transposed) places[weight->unsafeGetTensorImpl()].push_back({i, transposed});
      else uses(*weight).repeatable = false;
    }
    if (places.empty()) return;
    const std::string_view name = op.operator_name().name;
    const bool product =
        name == "aten::addmm" || name == "aten::matmul" || name == "aten::linear" || name == "aten::mm";
    for (auto& [weight, here] : places) {
      WeightUses& all = uses_[weight];
      all.multiplied = all.multiplied || product;
      all.convolved = all.convolved || name.starts_with("aten::conv");
      std::vector<c10::IValue> kept;
      for (const c10::IValue& argument : arguments) {
        kept.push_back(argument.isTensor() && argument.toTensor().defined()
                           ? argument.toTensor().detach().requires_grad_(argument.toTensor().requires_grad())
                           : argument);
      }
      all.calls.push_back({op, std::move(kept), std::move(here)});
    }
  }
  WeightUses& uses(const at::Tensor& weight) { return uses_[weight.unsafeGetTensorImpl()]; }

  WatchWeights* outer_;
  at::CallbackHandle callback_{};
  int depth_ = 0;
  std::unordered_map<const c10::StorageImpl*, at::Tensor> weights_;
  std::unordered_map<const at::TensorImpl*, WeightUses> uses_;
};

/// Makes the calls that read a weight again, forward and backward, with a copy of it in an order to choose;
/// the model is not touched.
class RepeatUses {
public:
  /// \param backward computes gradients as well, of all that required them
  RepeatUses(const WeightUses& uses, const at::Tensor& weight, at::IntArrayRef strides, bool backward)
      : calls_(uses.calls), weight_(laid_out(weight, strides)), backward_(backward) {
    weight_.requires_grad_(weight.requires_grad());
    gradients_.resize(calls_.size());
  }

  void operator()() {
    const at::AutoGradMode mode(backward_);
    for (std::size_t i = 0; i < calls_.size(); ++i) {
      WeightUse& call = calls_[i];
      std::vector<c10::IValue> stack = call.arguments;
      for (const auto& [argument, transposed] : call.places)
        stack[argument] = transposed ? weight_.t() : weight_;
      call.op.callBoxed(stack);
      const at::Tensor output = stack.at(0).toTensor();
      if (!backward_ || !output.requires_grad()) continue;
      if (!gradients_[i].defined()) gradients_[i] = at::ones_like(output);
      output.backward(gradients_[i]);  // into the copy, in its order, as an optimizer gets it
      for (const c10::IValue& argument : call.arguments) {
        if (argument.isTensor() && argument.toTensor().defined()) argument.toTensor().mutable_grad().reset();
      }
    }
    weight_.mutable_grad().reset();
  }

private:
  std::vector<WeightUse> calls_;
  std::vector<at::Tensor> gradients_;
  at::Tensor weight_;
  bool backward_;
};

}  // namespace abyme
