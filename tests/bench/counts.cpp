// callgrind
//
// Instructions, counted and not timed: the same on a busy machine. Each figure is what happens between two
// calls of `mark`, at each of which callgrind notes what it has counted since the last one.

#include <torch/torch.h>

#include <abyme/abyme.hpp>

#include <fmt/format.h>

#include <cstdint>
#include <sstream>
#include <string>
#include <vector>

namespace ab = abyme;

// run.py names this function to callgrind.
extern "C" [[gnu::noinline]] void abyme_bench_mark() { asm volatile("" ::: "memory"); }

namespace {

/// run.py divides the instructions up to the next mark by the repetitions and subtracts the figure `less`.
void begin(const std::string& name, std::int64_t repetitions, const std::string& less = "") {
  fmt::print("{{\"name\": \"{}\", \"repetitions\": {}, \"less\": \"{}\"}}\n", name, repetitions, less);
  abyme_bench_mark();
}
void end() { abyme_bench_mark(); }

struct BranchNode : ab::Node {
  static constexpr auto events = ab::events("first", "second");
  ab::Step next(ab::Step finished) override {
    if (finished == ab::entry) return events["first"];
    return finished == events["first"] ? events["second"] : ab::done;
  }
};
using Branch = ab::Handle<BranchNode>;

struct LeafNode : ab::Node {
  ab::Step next(ab::Step) override { return ab::done; }
};
using Leaf = ab::Handle<LeafNode>;

/// Counts the second dig of a looper, when all that is made once is there.
template <class Looper>
void count(const std::string& name, Looper looper, std::int64_t repetitions, const std::string& less = "") {
  ab::IterationLooper twice(2);
  looper("start", [&] {
    if (twice->counter == 1) begin(name, repetitions, less);
  });
  looper("end", [&] {
    if (twice->counter == 1) end();
  });
  twice("iteration_end", looper);
  ab::Ground()("dig", twice).dig();
}

/// What the run itself spends on one child: an iteration has 100 children, each a node with two events of
/// which one has a child, so that half of the children need a frame and half do not.
void count_children() {
  ab::IterationLooper loop(1'000);
  for (int i = 0; i < 50; ++i) loop("iteration_end", Branch()("second", Leaf()));
  count("kernel_instructions_per_child", loop, 100'000);
}

/// How an iteration grows with the nodes that hang on one event, or one below the other.
void count_growth() {
  for (const int nodes : {1, 10, 100, 1'000}) {
    ab::IterationLooper loop(1'000);
    for (int i = 0; i < nodes; ++i) loop("iteration_end", Leaf());
    count(fmt::format("instructions_per_iteration_{}_on_one_event", nodes), loop, 1'000);
  }
  for (const int nodes : {1, 10, 100, 1'000}) {
    ab::IterationLooper loop(1'000);
    std::vector<Branch> chain(1);
    while (int(chain.size()) < nodes) {
      chain.emplace_back();
      chain[chain.size() - 2]("second", chain.back());
    }
    loop("iteration_end", chain.front());
    count(fmt::format("instructions_per_iteration_{}_nested", nodes), loop, 1'000);
  }
}

/// What a tree with statistics, a moving window, a periodic trigger and a line of text every 100 steps adds
/// to a loop that does none of that; the step function costs nothing.
void count_tree() {
  constexpr std::int64_t steps = 10'000;
  const std::vector<ab::Batch> batches(steps, {torch::rand({64, 1}), torch::zeros({64})});
  torch::nn::Linear model(1, 1);
  const torch::Tensor constant = torch::tensor(0.5F);
  const auto step = [&](const ab::Batch&) { return constant; };

  begin("loop_instructions_per_step", steps);
  torch::Tensor loss;
  for (const ab::Batch& batch : batches) loss = step(batch);
  end();

  std::ostringstream out;
  ab::DataLooper data(batches);
  ab::Pass pass(model, step);
  ab::Stats stats("loss", {.weight = "batch_size"});
  auto moving = ab::MovingStats("average", {.window = 100}).focus(stats);
  moving("dig", ab::PeriodicTrigger(100)("dig", ab::Print(out, "batch {}: loss {:.4f}", data.get("counter"),
                                                          ab::caller("average"))));
  data("iteration_end", pass("end", stats, moving));
  count("tree_instructions_per_step", data, steps, "loop_instructions_per_step");
}

}  // namespace

int main() {
  torch::set_num_threads(1);  // others would count while they wait
  count_children();
  count_growth();
  count_tree();
}
