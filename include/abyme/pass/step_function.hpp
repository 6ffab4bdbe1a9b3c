#pragma once

#include <abyme/core/callable.hpp>
#include <abyme/core/kept.hpp>
#include <abyme/core/value.hpp>
#include <abyme/data/batch_size.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace abyme {

/// A batch of a type that abyme knows, with its inputs in the memory order channels-last.
inline at::Tensor in_channels_last(const at::Tensor& inputs) {
  if (inputs.dim() != 4 && inputs.dim() != 5) return inputs;
  return inputs.contiguous(inputs.dim() == 4 ? at::MemoryFormat::ChannelsLast
                                             : at::MemoryFormat::ChannelsLast3d);
}
inline std::pair<at::Tensor, at::Tensor> in_channels_last(const std::pair<at::Tensor, at::Tensor>& batch) {
  return {in_channels_last(batch.first), batch.second};
}
template <class Batch>
  requires requires(Batch batch) { in_channels_last(batch.inputs); }
Batch in_channels_last(Batch batch) {
  batch.inputs = in_channels_last(batch.inputs);
  return batch;
}
template <class Batch>
  requires(
      !requires(Batch batch) { batch.inputs; } && requires(Batch batch) { in_channels_last(batch.data); })
Batch in_channels_last(Batch batch) {
  batch.data = in_channels_last(batch.data);
  return batch;
}

template <class Batch>
inline constexpr bool can_be_channels_last = requires(const Batch& batch) { in_channels_last(batch); };

/// What a pass runs on each batch, its types erased.
class StepFunction {
public:
  bool channels_last = false;  ///< whether the function gets batches in that memory order

  virtual ~StepFunction() = default;

  /// The types of batch that it takes.
  virtual const std::vector<const TypeId*>& batch_types() const = 0;
  virtual std::optional<std::int64_t> batch_size(const Opaque& batch) const = 0;
  /// Whether all of them can be put in the order channels-last.
  virtual bool takes_channels_last() const = 0;
  /// Calls the function and keeps its result.
  virtual void compute(const Opaque& batch) = 0;
  /// Calls it and returns the loss only.
  virtual at::Tensor loss_of(const Opaque& batch) = 0;
  virtual const at::Tensor& loss() const = 0;
  /// Frees the graph that the tensors of the result hold.
  virtual void drop_graph() = 0;
  /// Forgets the result, so that its memory can serve the next step.
  virtual void forget() = 0;

  /// What others may read of the result when the pass is over, for snapshots: the loss, numbers, tensors with
  /// one element. Outputs are too large for that.
  virtual void save(Kept& kept) const = 0;
  /// \param device of the model
  virtual void load(const Kept& kept, at::Device device) = 0;
};

/// With a result of type Result: the loss, or an aggregate with a member `loss`.
template <class Result>
class StepFunctionOf : public StepFunction {
public:
  Result result{};

  const at::Tensor& loss() const override {
    if constexpr (std::same_as<Result, at::Tensor>) return result;
    else return result.loss;
  }
  void forget() override { result = Result{}; }
  void drop_graph() override {
    // Of the loss last: then the whole graph dies at once, which costs one allocation.
    if constexpr (std::same_as<Result, at::Tensor>) {
      drop(result);
    } else {
      std::apply(
          [this](auto&... each) { ((static_cast<void*>(&each) == &result.loss ? void() : drop(each)), ...); },
          members(result));
      drop(result.loss);
    }
  }

  void save(Kept& kept) const override {
    each_member([&](std::string_view name, const auto& member) {
      using Member = std::remove_cvref_t<decltype(member)>;
      if constexpr (std::same_as<Member, at::Tensor>) {
        if (member.defined() && member.numel() == 1) kept.add(name, member.detach());
      } else if constexpr (Keepable<Member>) {
        keep(kept, name, member);
      }
    });
  }
  void load(const Kept& kept, at::Device device) override {
    forget();
    each_member([&](std::string_view name, const auto& shown) {
      using Member = std::remove_cvref_t<decltype(shown)>;
      auto& member = const_cast<Member&>(shown);
      if constexpr (std::same_as<Member, at::Tensor>) {
        if (const at::Tensor tensor = kept.tensor(name); tensor.defined()) member = tensor.to(device);
      } else if constexpr (Keepable<Member>) {
        if (kept.data.find(name)) put_back(kept, name, member);
      }
    });
  }

private:
  template <class Visit>
  void each_member(Visit visit) const {
    if constexpr (std::same_as<Result, at::Tensor>) {
      visit("loss", result);
    } else {
      [&]<std::size_t... I>(std::index_sequence<I...>) {
        (visit(member_name<Result, I>, std::get<I>(members(result))), ...);
      }(std::make_index_sequence<member_count<Result>>{});
    }
  }
  template <class Member>
  static void drop(Member& member) {
    if constexpr (std::same_as<Member, at::Tensor>) {
      if (!member.defined() || !member.grad_fn()) return;
      if (member.is_view()) member = member.detach();
      else member.detach_();
    }
  }
};

namespace reflect {
// The types of batch that a step function takes: its first parameter, or those it lists as `Batches`.
template <class Step>
struct BatchTypes {
  using type = std::tuple<FirstArgumentOf<Step>>;
};
template <class Step>
  requires requires { typename Step::Batches; }
struct BatchTypes<Step> {
  using type = typename Step::Batches;
};
template <class Step>
using FirstBatch = std::tuple_element_t<0, typename BatchTypes<Step>::type>;

template <class Step>
consteval auto step_result() {
  static_assert(!std::is_void_v<FirstBatch<Step>>,
                "a step function names the type of its batch: [&](const ab::Batch& batch) { ... }, not auto");
  if constexpr (!std::is_void_v<FirstBatch<Step>>) {
    static_assert(std::invocable<Step&, const FirstBatch<Step>&>,
                  "a step function takes one batch, by const reference");
    using Result = std::invoke_result_t<Step&, const FirstBatch<Step>&>;
    static_assert(
        std::same_as<Result, at::Tensor> || requires(Result result) {
          { result.loss } -> std::convertible_to<at::Tensor>;
        }, "a step function returns the loss as a torch::Tensor, or a struct with a member loss");
    return std::type_identity<Result>{};
  }
}
}  // namespace reflect

/// What a step function returns.
template <class Step>
using StepResult = typename decltype(reflect::step_result<Step>())::type;

template <class Step>
class TypedStepFunction final : public StepFunctionOf<StepResult<Step>> {
public:
  explicit TypedStepFunction(Step step) : step_(std::move(step)) {}

  const std::vector<const TypeId*>& batch_types() const override { return types_; }
  std::optional<std::int64_t> batch_size(const Opaque& batch) const override {
    std::optional<std::int64_t> size;
    with(batch, [&](const auto& typed) { size = abyme::batch_size(typed); });
    return size;
  }
  bool takes_channels_last() const override {
    return []<class... Batches>(std::type_identity<std::tuple<Batches...>>) {
      return (can_be_channels_last<Batches> && ...);
    }(std::type_identity<Types>{});
  }
  void compute(const Opaque& batch) override {
    with(batch, [&](const auto& typed) { this->result = call(typed); });
  }
  at::Tensor loss_of(const Opaque& batch) override {
    at::Tensor loss;
    with(batch, [&](const auto& typed) {
      if constexpr (std::same_as<StepResult<Step>, at::Tensor>) loss = call(typed);
      else loss = call(typed).loss;
    });
    return loss;
  }

private:
  using Types = typename reflect::BatchTypes<Step>::type;

  template <class Batch>
  StepResult<Step> call(const Batch& batch) {
    if constexpr (can_be_channels_last<Batch>) {
      if (this->channels_last) return step_(in_channels_last(batch));
    }
    return step_(batch);
  }

  template <class Use>
  static void with(const Opaque& batch, Use use) {
    [&]<class... Batches>(std::type_identity<std::tuple<Batches...>>) {
      static_cast<void>(
          ((*batch.type == type_id<Batches> && (use(*static_cast<const Batches*>(batch.address)), true)) ||
           ...));
    }(std::type_identity<Types>{});
  }

  Step step_;
  std::vector<const TypeId*> types_ = []<class... Batches>(std::type_identity<std::tuple<Batches...>>) {
    return std::vector<const TypeId*>{&type_id<Batches>...};
  }(std::type_identity<Types>{});
};

}  // namespace abyme
