#pragma once

#include <abyme/core/kept.hpp>
#include <abyme/data/generator_state.hpp>

#include <ATen/Context.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>

#include <string>

namespace abyme {

/// The random generators that LibTorch draws from where it is given none: the CPU's, and each CUDA device's.
template <class Visit>
void each_generator(Visit visit) {
  visit("cpu", default_generator());
  if (!c10::impl::hasDeviceGuardImpl(at::kCUDA)) return;
  const auto count = c10::impl::getDeviceGuardImpl(at::kCUDA)->deviceCount();
  for (c10::DeviceIndex i = 0; i < count; ++i)
    visit(fmt::format("cuda:{}", int(i)), at::globalContext().defaultGenerator(at::Device(at::kCUDA, i)));
}

inline Kept generators() {
  Kept kept;
  each_generator([&](const std::string& name, const at::Generator& generator) {
    kept.add(name, generator_state(generator));
  });
  return kept;
}

/// A device that the snapshot did not have keeps its generator as it is.
inline void set_generators(const Kept& kept) {
  each_generator([&](const std::string& name, const at::Generator& generator) {
    if (const at::Tensor state = kept.tensor(name); state.defined()) set_generator_state(generator, state);
  });
}

}  // namespace abyme
