// Nothing on the step path allocates after the first pass. Here `new` is replaced, for the whole program, by
// one that counts; AddressSanitizer, which has its own, is asked to tell.

#include <abyme/core/run.hpp>

#include <abyme/loop/data_looper.hpp>
#include <abyme/loop/iteration_looper.hpp>
#include <abyme/stats/reset.hpp>
#include <abyme/stats/stats.hpp>
#include <abyme/trigger/if.hpp>
#include <abyme/trigger/periodic_trigger.hpp>

#include <ATen/ops/scalar_tensor.h>

#include <catch2/catch.hpp>

#if defined(__SANITIZE_ADDRESS__)
#define ABYME_TESTS_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ABYME_TESTS_ASAN 1
#endif
#endif
#if ABYME_TESTS_ASAN  // from <sanitizer/allocator_interface.h>, which Debian has in another package
extern "C" int __sanitizer_install_malloc_and_free_hooks(void (*)(const volatile void*, unsigned long),
                                                         void (*)(const volatile void*));
#endif

#include <atomic>
#include <cstdlib>
#include <new>

namespace ab = abyme;

namespace {
std::atomic<std::int64_t> allocations{0};
}

#if ABYME_TESTS_ASAN
namespace {
const int hooks = __sanitizer_install_malloc_and_free_hooks(
    [](const volatile void*, std::size_t) { ++allocations; }, [](const volatile void*) {});
}
#else
namespace {
void* count(void* memory) {
  ++allocations;
  return memory ? memory : throw std::bad_alloc();
}
[[gnu::noinline]] void release(void* memory) noexcept { std::free(memory); }  // GCC would see a wrong pair
}  // namespace

void* operator new(std::size_t size) { return count(std::malloc(size ? size : 1)); }
void* operator new[](std::size_t size) { return count(std::malloc(size ? size : 1)); }
void* operator new(std::size_t size, std::align_val_t alignment) {
  const auto unit = static_cast<std::size_t>(alignment);
  return count(std::aligned_alloc(unit, (size + unit) / unit * unit));
}
void* operator new[](std::size_t size, std::align_val_t alignment) { return operator new(size, alignment); }
void operator delete(void* memory) noexcept { release(memory); }
void operator delete[](void* memory) noexcept { release(memory); }
void operator delete(void* memory, std::size_t) noexcept { release(memory); }
void operator delete[](void* memory, std::size_t) noexcept { release(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { release(memory); }
void operator delete[](void* memory, std::align_val_t) noexcept { release(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { release(memory); }
void operator delete[](void* memory, std::size_t, std::align_val_t) noexcept { release(memory); }
#endif

namespace {

// Shows a value of each kind, as passes do.
struct ShowsNode : ab::Node {
  static constexpr auto events = ab::events("start", "end");
  at::Tensor loss = at::scalar_tensor(0.5), precise = at::scalar_tensor(0.5, at::TensorOptions(at::kDouble));
  double rate = 0.1;
  std::int64_t batch_size = 64;
  bool flag = true;
  double doubled() const { return 2 * rate; }
  static constexpr auto fields =
      ab::fields(ab::field("loss", &ShowsNode::loss), ab::field("precise", &ShowsNode::precise),
                 ab::field("rate", &ShowsNode::rate), ab::state("batch_size", &ShowsNode::batch_size),
                 ab::field("flag", &ShowsNode::flag), ab::field("doubled", &ShowsNode::doubled));
  ab::Step next(ab::Step finished) override {
    return finished == ab::entry ? events["start"] : finished == events["start"] ? events["end"] : ab::done;
  }
};
using Shows = ab::Handle<ShowsNode>;

}  // namespace

TEST_CASE("no step allocates after the first pass") {
  std::vector<int> rows(100);
  ab::IterationLooper epochs(20), inner(3);
  ab::DataLooper data(rows);
  Shows pass;
  ab::Stats loss("loss"), precise("precise"), weighted("loss", {.weight = "batch_size"}), doubled("doubled"),
      called([] { return 3; }), looked(epochs.get("counter")), flag("flag");
  std::int64_t steps = 0, calls = 0;

  data("iteration_start", ab::PeriodicTrigger(7, {.wait_periods = 1})("dig", [&] { ++calls; }))(
      "iteration_end", pass, inner,
      ab::Call([&](ab::Stats::Node& node) { calls += node.count() > 0; }).focus(loss));
  pass("start", loss)(
      "end", precise, weighted, doubled, called, looked, flag,
      [&](ShowsNode& node, ab::Run& run) {
        ++steps;
        if (node.rate < 0) run.stop("never");
      },
      ab::If("flag")("dig", [&](auto& node) { calls += node.has_children(); }),
      ab::If([](ShowsNode& node) { return node.doubled() > 1; })("otherwise", [&] { ++calls; }),
      ab::If(loss.get("average"))("dig", ab::If(true)("dig", [&](ab::Run&) { ++calls; })));
  inner("iteration_end", ab::PeriodicTrigger(inner.get("count"))("dig", [&] { ++calls; }));
  std::int64_t before = 0, after_first = 0, last = 0;
  epochs("iteration_start", data)("iteration_end", ab::Reset(pass), [&](ab::IterationLooper::Node& node) {
    if (node.counter == 1) after_first = allocations;
    last = allocations;
  });
  ab::Ground ground;
  ground("dig", epochs);

  before = allocations;
  ground.dig();
#if ABYME_TESTS_ASAN
  CHECK(hooks != 0);
#endif
  CHECK(after_first > before);  // the counter counts
  CHECK(steps == 20 * 100);
  CHECK(calls > 3 * steps);
  CHECK(last - after_first == 0);
}
