// The code of docs/snapshots.md and of the end of docs/own_node.md: a run is stopped and goes on with all
// that these pages say. The snapshots are also for snapshots.py, beside this file.

#include <torch/torch.h>

#include <abyme/abyme.hpp>

#include <catch2/catch.hpp>

#include "support/folder.hpp"

#include <csignal>
#include <cstdlib>
#include <random>
#include <sstream>

namespace ab = abyme;

namespace snapshots_tests {

using Lines = std::vector<std::string>;

namespace {

struct Curriculum {  // something of one's own that a run depends on
  std::int64_t level = 0;
  std::mt19937 random{1};

  void save(ab::Kept& kept) const {
    std::ostringstream state;
    state << random;
    kept.data["level"] = level;
    kept.data["random"] = state.str();
  }
  void load(const ab::Kept& kept) {
    level = kept.data.at("level").as<std::int64_t>();
    std::istringstream(kept.data.at("random").as<std::string>()) >> random;
  }
};

struct TeacherNode : ab::Node {  // weights that follow those of a student, slowly
  torch::nn::Linear teacher, student;
  std::int64_t count = 0;
  static constexpr auto fields = ab::fields(ab::state("count", &TeacherNode::count));

  TeacherNode(torch::nn::Linear teacher, torch::nn::Linear student) : teacher(teacher), student(student) {}

  ab::Step next(ab::Step) override {
    const torch::NoGradGuard no_grad;
    teacher->weight.lerp_(student->weight, 0.1);
    ++count;
    return ab::done;
  }
  void hold(ab::Holdings& holdings) override {
    holdings.add("teacher", teacher.get(), ab::model_part(teacher.ptr()));
  }
};
using Teacher = ab::Handle<TeacherNode>;

torch::Tensor mean_square(const torch::Tensor& outputs, const torch::Tensor& targets) {
  return torch::mse_loss(outputs, targets);
}

struct Program {
  torch::nn::Linear model{nullptr}, teacher{nullptr};
  Curriculum curriculum;
  ab::Ground ground;
  std::int64_t stop_at;  // the batch after which a signal comes; 0: none
  Lines seen;            // after each epoch

  explicit Program(std::int64_t stop = 0) : stop_at(stop) {
    torch::manual_seed(1);
    model = torch::nn::Linear(4, 2);
    teacher = torch::nn::Linear(4, 2);
  }

  ab::Outcome run(const std::string& folder) {
    torch::manual_seed(2);
    torch::optim::Adam optimizer(model->parameters(), 0.01);
    ab::TensorBatches batches(torch::randn({40, 4}), torch::randn({40, 2}), {.batch_size = 8});
    auto epochs = ab::IterationLooper(4).named("epochs");
    auto train_data = ab::DataLooper(batches).named("train_data");
    auto train_pass = ab::SupervisedPass(model, optimizer, mean_square).named("train_pass");
    ab::Stats loss("loss");
    std::int64_t drawn = 0;
    train_data("iteration_end", train_pass("end", loss), Teacher(teacher, model), [&] {
      curriculum.level += static_cast<std::int64_t>(curriculum.random() % 10);
      if (++drawn == stop_at) std::raise(SIGTERM);
    });
    epochs("iteration_start", train_data).at("iteration_end", [&] {
      seen.push_back(fmt::format("{} {:a}", curriculum.level, *loss->average()));
    });
    ground("dig", epochs);

    ground.holds("curriculum", curriculum);
    ground.on_signals({SIGINT, SIGTERM});

    ab::Snapshot snapshots(folder, {.keep = 3, .best = loss.get("average")});
    train_data("iteration_end", ab::PeriodicTrigger(3)("dig", snapshots));
    return ground.resume(snapshots).dig();
  }
};

}  // namespace

TEST_CASE("the page on snapshots: a run that is stopped goes on, with a node and a thing of one's own",
          "[snapshots_page]") {
  const tests::Folder folder;
  Program whole, stopped(8), resumed;
  CHECK(whole.run(folder / "whole").completed);
  CHECK(whole.seen.size() == 4);

  const ab::Outcome outcome = stopped.run(folder / "stopped");
  CHECK(!outcome.completed);
  CHECK(outcome.reason == "signal SIGTERM");
  CHECK(stopped.seen == Lines(whole.seen.begin(), whole.seen.begin() + 1));
  CHECK(folder.files() == Lines{"stopped/.lock", "stopped/00000002.safetensors",
                                "stopped/00000003.safetensors", "stopped/00000004.safetensors",
                                "stopped/best.safetensors", "whole/.lock", "whole/00000005.safetensors",
                                "whole/00000006.safetensors", "whole/00000007.safetensors",
                                "whole/best.safetensors"});

  CHECK(resumed.run(folder / "stopped").completed);
  CHECK(resumed.seen == Lines(whole.seen.begin() + 1, whole.seen.end()));
  CHECK(resumed.curriculum.random == whole.curriculum.random);
  CHECK(resumed.model->weight.equal(whole.model->weight));
  CHECK(resumed.teacher->weight.equal(whole.teacher->weight));
  CHECK(!resumed.teacher->weight.equal(stopped.teacher->weight));
}

TEST_CASE("a folder of snapshots, for Python to read", "[.snapshots_page]") {
  const tests::Folder own;
  const char* wanted = std::getenv("ABYME_SNAPSHOTS");  // by snapshots.py
  CHECK(Program().run(wanted ? wanted : own.path().string()).completed);
}

}  // namespace snapshots_tests
