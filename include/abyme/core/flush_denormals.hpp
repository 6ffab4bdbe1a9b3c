#pragma once

#include <ATen/EmptyTensor.h>
#include <ATen/Parallel.h>
#include <ATen/TensorIterator.h>
#include <ATen/core/Tensor.h>

#include <cstdint>

#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

namespace abyme {

/// See `FlushDenormals`. A template, so that a file that digs nothing does not compile it.
template <class Tensor>
class FlushDenormalsOf {
public:
  explicit FlushDenormalsOf(bool active = true) : active_(active) {
    if (active_) everywhere(&enter);
  }
  ~FlushDenormalsOf() {
    if (active_) everywhere(&leave);
  }
  /// Whether one lives for this thread.
  static bool is_on() { return holders > 0; }

  FlushDenormalsOf(const FlushDenormalsOf&) = delete;
  FlushDenormalsOf& operator=(const FlushDenormalsOf&) = delete;

private:
#if defined(__SSE2__)
  using Mode = unsigned int;
  static constexpr Mode flush = 0x8040;  // results, and what is computed with
  static Mode mode() { return _mm_getcsr(); }
  static void set_mode(Mode mode) { _mm_setcsr(mode); }
#elif defined(__aarch64__)
  using Mode = std::uint64_t;
  static constexpr Mode flush = Mode{1} << 24;
  static Mode mode() {
    Mode mode;
    __asm__ volatile("mrs %0, fpcr" : "=r"(mode));
    return mode;
  }
  static void set_mode(Mode mode) { __asm__ volatile("msr fpcr, %0" : : "r"(mode)); }
#else
  using Mode = unsigned int;
  static constexpr Mode flush = 0;
  static Mode mode() { return 0; }
  static void set_mode(Mode) {}
#endif

  // Of a thread: how many hold it, and whether it flushed before the first.
  static inline thread_local int holders = 0;
  static inline thread_local Mode before = 0;

  static void enter() {
    if (holders++ > 0) return;
    before = mode() & flush;
    set_mode(mode() | flush);
  }
  static void leave() {
    if (--holders == 0) set_mode((mode() & ~flush) | before);
  }

  // LibTorch shares out an iteration among its threads, a part each; ours is as long as these are many. Its
  // own at::parallel_for does that only in files compiled for OpenMP.
  static void everywhere(void (*act)()) {
    Tensor parts = at::detail::empty_cpu({at::get_num_threads()}, at::kByte);
    auto iterator = at::TensorIterator::borrowing_nullary_op(parts);
    const auto part = [act](char**, const std::int64_t*, std::int64_t, std::int64_t) { act(); };
    iterator.for_each(part, /*grain_size=*/1);
  }

  bool active_;
};

/// As long as one lives, denormal numbers (floats closer to 0 than 1.2e-38) count as 0, on its thread and on
/// the threads that LibTorch computes with; afterwards as before. Denormals cost a processor a hundred times
/// as much, and come up by themselves: the moments of an optimizer decay into them where a neuron is dead.
/// XLA and TensorFlow never compute with them either. On processors other than x86-64 and ARM64 it does
/// nothing.
class FlushDenormals : public FlushDenormalsOf<at::Tensor> {
public:
  using FlushDenormalsOf::FlushDenormalsOf;
};

}  // namespace abyme
