#pragma once

#include <abyme/core/holdings.hpp>

#include <ATen/ops/empty.h>
#include <torch/optim/adagrad.h>
#include <torch/optim/adam.h>
#include <torch/optim/adamw.h>
#include <torch/optim/lbfgs.h>
#include <torch/optim/optimizer.h>
#include <torch/optim/rmsprop.h>
#include <torch/optim/sgd.h>
#include <torch/serialize/archive.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace abyme {

namespace reflect {

/// What LibTorch's optimizers remember and are set to, by name: `visit(name, member)` for each.
template <class Optimizer>
struct OptimizerTraits;
template <class StateType, class OptionsType>
struct AdamTraits {
  using State = StateType;
  using Options = OptionsType;
  template <class Visit>
  static void state(State& state, Visit visit) {
    visit("step", state.step());
    visit("exp_avg", state.exp_avg());
    visit("exp_avg_sq", state.exp_avg_sq());
    visit("max_exp_avg_sq", state.max_exp_avg_sq());
  }
  template <class Visit>
  static void options(Options& options, Visit visit) {
    visit("lr", options.lr());
    visit("beta1", std::get<0>(options.betas()));
    visit("beta2", std::get<1>(options.betas()));
    visit("eps", options.eps());
    visit("weight_decay", options.weight_decay());
    visit("amsgrad", options.amsgrad());
  }
};
template <>
struct OptimizerTraits<torch::optim::Adam>
    : AdamTraits<torch::optim::AdamParamState, torch::optim::AdamOptions> {
  static constexpr std::string_view name = "Adam";
};
template <>
struct OptimizerTraits<torch::optim::AdamW>
    : AdamTraits<torch::optim::AdamWParamState, torch::optim::AdamWOptions> {
  static constexpr std::string_view name = "AdamW";
};
template <>
struct OptimizerTraits<torch::optim::SGD> {
  static constexpr std::string_view name = "SGD";
  using State = torch::optim::SGDParamState;
  using Options = torch::optim::SGDOptions;
  template <class Visit>
  static void state(State& state, Visit visit) {
    visit("momentum_buffer", state.momentum_buffer());
  }
  template <class Visit>
  static void options(Options& options, Visit visit) {
    visit("lr", options.lr());
    visit("momentum", options.momentum());
    visit("dampening", options.dampening());
    visit("weight_decay", options.weight_decay());
    visit("nesterov", options.nesterov());
  }
};
template <>
struct OptimizerTraits<torch::optim::RMSprop> {
  static constexpr std::string_view name = "RMSprop";
  using State = torch::optim::RMSpropParamState;
  using Options = torch::optim::RMSpropOptions;
  template <class Visit>
  static void state(State& state, Visit visit) {
    visit("step", state.step());
    visit("square_avg", state.square_avg());
    visit("momentum_buffer", state.momentum_buffer());
    visit("grad_avg", state.grad_avg());
  }
  template <class Visit>
  static void options(Options& options, Visit visit) {
    visit("lr", options.lr());
    visit("alpha", options.alpha());
    visit("eps", options.eps());
    visit("weight_decay", options.weight_decay());
    visit("momentum", options.momentum());
    visit("centered", options.centered());
  }
};
template <>
struct OptimizerTraits<torch::optim::Adagrad> {
  static constexpr std::string_view name = "Adagrad";
  using State = torch::optim::AdagradParamState;
  using Options = torch::optim::AdagradOptions;
  template <class Visit>
  static void state(State& state, Visit visit) {
    visit("step", state.step());
    visit("sum", state.sum());
  }
  template <class Visit>
  static void options(Options& options, Visit visit) {
    visit("lr", options.lr());
    visit("lr_decay", options.lr_decay());
    visit("weight_decay", options.weight_decay());
    visit("initial_accumulator_value", options.initial_accumulator_value());
    visit("eps", options.eps());
  }
};
template <>
struct OptimizerTraits<torch::optim::LBFGS> {
  static constexpr std::string_view name = "LBFGS";
  using State = torch::optim::LBFGSParamState;
  using Options = torch::optim::LBFGSOptions;
  template <class Visit>
  static void state(State& state, Visit visit) {
    visit("func_evals", state.func_evals());
    visit("n_iter", state.n_iter());
    visit("t", state.t());
    visit("prev_loss", state.prev_loss());
    visit("d", state.d());
    visit("H_diag", state.H_diag());
    visit("prev_flat_grad", state.prev_flat_grad());
    visit("old_dirs", state.old_dirs());
    visit("old_stps", state.old_stps());
    visit("ro", state.ro());
    visit("al", state.al());
  }
  template <class Visit>
  static void options(Options& options, Visit visit) {
    visit("lr", options.lr());
    visit("max_iter", options.max_iter());
    visit("max_eval", options.max_eval());
    visit("tolerance_grad", options.tolerance_grad());
    visit("tolerance_change", options.tolerance_change());
    visit("history_size", options.history_size());
    visit("line_search_fn", options.line_search_fn());
  }
};

// LibTorch's deques are kept as lists.
template <class T>
void keep_member(Kept& kept, std::string_view name, const T& member) {
  if constexpr (Keepable<T>) keep(kept, name, member);
  else keep(kept, name, std::vector<typename T::value_type>(member.begin(), member.end()));
}
template <class T>
void put_back_member(const Kept& kept, std::string_view name, T& member) {
  if constexpr (Keepable<T>) {
    put_back(kept, name, member);
  } else {
    std::vector<typename T::value_type> list;
    put_back(kept, name, list);
    member.assign(list.begin(), list.end());
  }
}

template <class Traits>
void save_optimizer_part(torch::optim::Optimizer& optimizer, Kept& kept) {
  kept.data["type"] = Traits::name;
  std::size_t groups = 0, parameters = 0;
  for (auto& group : optimizer.param_groups()) {
    Kept options;
    Traits::options(static_cast<typename Traits::Options&>(group.options()),
                    [&](std::string_view name, auto& member) { keep_member(options, name, member); });
    kept.set_part(fmt::format("group{}", groups++), std::move(options));
    for (const at::Tensor& parameter : group.params()) {
      const std::string name = std::to_string(parameters++);
      const auto found = optimizer.state().find(parameter.unsafeGetTensorImpl());
      if (found == optimizer.state().end()) continue;
      Kept state;
      Traits::state(
          static_cast<typename Traits::State&>(*found->second),
          [&](std::string_view member_name, auto& member) { keep_member(state, member_name, member); });
      kept.set_part(name, std::move(state));
    }
  }
  kept.data["groups"] = groups;
  kept.data["parameters"] = parameters;
}

template <class Traits>
void load_optimizer_part(torch::optim::Optimizer& optimizer, const Kept& kept) {
  std::size_t groups = 0, parameters = 0;
  optimizer.state().clear();
  for (auto& group : optimizer.param_groups()) {
    const Kept options = kept.part(fmt::format("group{}", groups++));
    Traits::options(static_cast<typename Traits::Options&>(group.options()),
                    [&](std::string_view name, auto& member) { put_back_member(options, name, member); });
    for (const at::Tensor& parameter : group.params()) {
      const std::string name = std::to_string(parameters++);
      if (!kept.data.find(name)) continue;
      const Kept state = kept.part(name);
      auto made = std::make_unique<typename Traits::State>();
      Traits::state(*made, [&](std::string_view member_name, auto& member) {
        put_back_member(state, member_name, member);
        if constexpr (std::is_same_v<std::remove_cvref_t<decltype(member)>, at::Tensor>) {
          if (member.defined()) member = member.to(parameter.device());
        }
      });
      optimizer.state()[parameter.unsafeGetTensorImpl()] = std::move(made);
    }
  }
}

// An optimizer of the user's own, through its archive.
inline void save_optimizer_archive(torch::optim::Optimizer& optimizer, Kept& kept) {
  torch::serialize::OutputArchive archive;
  optimizer.save(archive);
  std::ostringstream out;
  archive.save_to(out);
  const std::string bytes = std::move(out).str();
  const at::Tensor tensor = at::empty({static_cast<std::int64_t>(bytes.size())}, at::kByte);
  std::memcpy(tensor.mutable_data_ptr(), bytes.data(), bytes.size());
  kept.add("archive", tensor);
}
inline void load_optimizer_archive(torch::optim::Optimizer& optimizer, const Kept& kept) {
  const at::Tensor tensor = kept.tensor("archive");
  if (!tensor.defined()) throw Error("an optimizer must have its archive in the snapshot, got none");
  torch::serialize::InputArchive archive;
  archive.load_from(static_cast<const char*>(tensor.const_data_ptr()),
                    static_cast<std::size_t>(tensor.numel()));
  optimizer.load(archive);
}

/// Calls `use` with the traits of the optimizer's class, of the first that fits; false where none does.
template <class Use>
bool with_traits(torch::optim::Optimizer& optimizer, Use use) {
  const auto try_one = [&]<class Stock>(std::type_identity<Stock>) {
    if (!dynamic_cast<Stock*>(&optimizer)) return false;
    use(OptimizerTraits<Stock>());
    return true;
  };
  using namespace torch::optim;
  return try_one(std::type_identity<Adam>()) || try_one(std::type_identity<AdamW>()) ||
         try_one(std::type_identity<SGD>()) || try_one(std::type_identity<RMSprop>()) ||
         try_one(std::type_identity<Adagrad>()) || try_one(std::type_identity<LBFGS>());
}

inline std::vector<std::string> differences(torch::optim::Optimizer& optimizer, const Kept& kept) {
  std::string_view type = "one of your own";
  with_traits(optimizer, [&](auto traits) { type = traits.name; });
  const Record* record = kept.data.find("type");
  const std::string other = record ? record->as<std::string>() : "one of your own";
  if (other != type) return {fmt::format("it is {}, here {}", other, type)};
  if (!record) return {};
  std::vector<std::string> told;
  const auto compare = [&](std::string_view what, std::size_t here) {
    const auto there = kept.data.at(what).as<std::int64_t>();
    if (there != std::int64_t(here)) told.push_back(fmt::format("it has {} {}, here {}", there, what, here));
  };
  std::size_t parameters = 0;
  for (const auto& group : optimizer.param_groups()) parameters += group.params().size();
  compare("groups", optimizer.param_groups().size());
  compare("parameters", parameters);
  return told;
}

}  // namespace reflect

/// An optimizer as a part of snapshots: LibTorch's and those derived from them with each tensor under its own
/// name, `0.exp_avg`, others through their archive.
template <class Optimizer>
Part optimizer_part(std::shared_ptr<Optimizer> optimizer) {
  return {[optimizer](Kept& kept) {
            if (!reflect::with_traits(*optimizer, [&](auto traits) {
                  reflect::save_optimizer_part<decltype(traits)>(*optimizer, kept);
                }))
              reflect::save_optimizer_archive(*optimizer, kept);
          },
          [optimizer](const Kept& kept) {
            if (!reflect::with_traits(*optimizer, [&](auto traits) {
                  reflect::load_optimizer_part<decltype(traits)>(*optimizer, kept);
                }))
              reflect::load_optimizer_archive(*optimizer, kept);
          },
          [optimizer](const Kept& kept) { return reflect::differences(*optimizer, kept); }};
}

}  // namespace abyme
