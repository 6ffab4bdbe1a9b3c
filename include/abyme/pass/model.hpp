#pragma once

#include <abyme/core/own.hpp>

#include <torch/nn/module.h>
#include <torch/optim/optimizer.h>

#include <concepts>
#include <memory>
#include <utility>

namespace abyme {

/// A model as abyme keeps it: a module holder or a `shared_ptr` is shared, an rvalue owned, an lvalue
/// borrowed.
template <class Model>
auto own_or_borrow_model(Model&& model) {
  if constexpr (requires { model.ptr(); }) return model.ptr();
  else return own_or_borrow(std::forward<Model>(model));
}
template <class Model>
using ModuleOf = typename decltype(own_or_borrow_model(std::declval<Model>()))::element_type;

template <class T>
concept ModelLike = requires(T&& model) { own_or_borrow_model(std::forward<T>(model)); } &&
                    std::derived_from<ModuleOf<T>, torch::nn::Module>;

template <class T>
concept OptimizerLike = requires(T&& optimizer) {
  {
    own_or_borrow(std::forward<T>(optimizer))
  } -> std::convertible_to<std::shared_ptr<torch::optim::Optimizer>>;
};

}  // namespace abyme
