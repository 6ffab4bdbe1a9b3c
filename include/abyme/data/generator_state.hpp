#pragma once

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/Tensor.h>

#include <abyme/core/error.hpp>

#include <mutex>

namespace abyme {

/// The state of a random generator, uint8; of one on the CPU 5,056 of them.
inline at::Tensor generator_state(at::Generator generator) {
  const std::lock_guard lock(generator.mutex());
  return generator.get_state();
}

/// \throws Error where it is no state of such a generator
inline void set_generator_state(at::Generator generator, const at::Tensor& state) {
  if (!state.defined())
    throw Error("a generator must get a state, got none; the snapshot was made by another program");
  const std::lock_guard lock(generator.mutex());
  generator.set_state(state);
}

/// What `torch::rand` and its like draw from on the CPU.
inline at::Generator default_generator() { return at::detail::getDefaultCPUGenerator(); }

}  // namespace abyme
