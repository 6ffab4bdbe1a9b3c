#include <torch/torch.h>

#include <abyme/abyme.hpp>

#include <catch2/catch.hpp>

#include "support/folder.hpp"
#include "support/full_disk.hpp"

#include <chrono>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <unistd.h>

namespace ab = abyme;

namespace snapshot_edges_tests {

using tests::content, tests::Folder;
using Lines = std::vector<std::string>;

namespace {

/// What goes to the standard error output while it lives.
class ErrorOutput {
public:
  ErrorOutput() : before_(::dup(STDERR_FILENO)) {
    if (!std::freopen((folder_ / "text").c_str(), "w", stderr)) throw std::runtime_error("no file");
  }
  ~ErrorOutput() { put_back(); }
  std::string text() {
    put_back();
    return content(folder_ / "text");
  }

private:
  void put_back() {
    if (before_ < 0) return;
    std::fflush(stderr);
    ::dup2(before_, STDERR_FILENO);
    ::close(std::exchange(before_, -1));
  }
  Folder folder_;
  int before_;
};

std::string message(const std::function<void()>& act) {
  try {
    act();
  } catch (const std::exception& error) {
    return error.what();
  }
  return "nothing was thrown";
}
Lines texts(const std::vector<ab::Fault>& faults) {
  Lines lines;
  for (const ab::Fault& fault : faults) lines.push_back(fault.message);
  return lines;
}

struct Opened : ab::Node {
  std::shared_ptr<int> file;
  static constexpr auto fields = ab::fields(ab::state("file", &Opened::file));
  ab::Step next(ab::Step) override { return ab::done; }
};

struct ProgramOptions {
  std::int64_t epochs = 3, inputs = 3, outputs = 2, keep = 3;
  bool prints = false, stop_on_error = false, takes = true;
};

// Some epochs of training; a snapshot at the end of each.
struct Program {
  explicit Program(const std::string& folder, ProgramOptions options = {})
      : snapshots(folder, {.keep = options.keep, .stop_on_error = options.stop_on_error}),
        epochs(options.epochs) {
    torch::manual_seed(1);
    net = torch::nn::Linear(options.inputs, options.outputs);
    pass = ab::SupervisedPass(net, torch::optim::SGD(net->parameters(), 0.1),
                              [](const torch::Tensor& outputs, const torch::Tensor& targets) {
                                return torch::mse_loss(outputs, targets);
                              });
    ab::DataLooper data(
        std::vector{ab::Batch{torch::ones({2, options.inputs}), torch::zeros({2, options.outputs})}});
    data.named("data")("iteration_end", pass);
    epochs.named("epochs")("iteration_end", data, [this] { seen.push_back(epochs->counter); });
    if (options.prints) epochs("iteration_start", ab::Call([] {}));
    epochs("iteration_end", [this] {
      if (during) during();
    });
    if (options.takes) epochs("iteration_end", snapshots);
    ground("dig", epochs)("final", [this](ab::GroundNode& node) { reason = node.reason.value_or(""); });
  }
  torch::Tensor weight() const { return net->weight.detach().clone(); }

  ab::Snapshot snapshots;
  ab::IterationLooper epochs;
  torch::nn::Linear net{nullptr};
  ab::SupervisedPass pass{torch::nn::Linear(1, 1),
                          [](const torch::Tensor& outputs, const torch::Tensor&) { return outputs; }};
  ab::Ground ground;
  std::vector<std::int64_t> seen;
  std::function<void()> during;
  std::string reason;
};

torch::Tensor trained(std::int64_t epochs) {
  const Folder folder;
  Program program(folder / "snapshots", {.epochs = epochs});
  program.ground.dig();
  return program.weight();
}

}  // namespace

TEST_CASE("a folder without a good snapshot starts the run anew; bad ones are told and left", "[snapshot]") {
  const Folder folder;
  const auto run = [&] {
    Program program(folder / "snapshots", {.takes = false});
    ErrorOutput errors;
    CHECK(program.ground.resume(program.snapshots).dig().completed);
    CHECK(program.seen == std::vector<std::int64_t>{1, 2, 3});
    return errors.text();
  };
  SECTION("no folder") {
    CHECK(run() == "");
    CHECK(folder.files().empty());
  }
  SECTION("all cut") {
    Program(folder / "snapshots").ground.dig();
    for (const char* name : {"00000001", "00000002", "00000003"})
      std::filesystem::resize_file(folder / fmt::format("snapshots/{}.safetensors", name), 100);
    const std::string told = run();
    for (const char* name : {"00000001", "00000002", "00000003"}) CHECK(told.find(name) != std::string::npos);
    CHECK(folder.files().size() == 4);  // and a .lock
  }
  SECTION("the newest cut, so that the one before counts") {
    Program(folder / "snapshots").ground.dig();
    std::filesystem::resize_file(folder / "snapshots/00000003.safetensors", 100);
    Program program(folder / "snapshots");
    ErrorOutput errors;
    CHECK(program.ground.resume(program.snapshots).dig().completed);
    CHECK(errors.text().find("00000003.safetensors") != std::string::npos);
    CHECK(program.seen == std::vector<std::int64_t>{3});
    CHECK(program.weight().equal(trained(3)));
    CHECK(folder.files().back() == "snapshots/00000004.safetensors");  // the bad one is left
  }
  SECTION("plain tensors in a file that is named as one") {
    std::filesystem::create_directory(folder / "snapshots");
    torch::nn::Linear net(3, 2);
    ab::save_weights(*net, folder / "snapshots/00000001.safetensors");
    CHECK(run().find("00000001.safetensors") != std::string::npos);
  }
}

TEST_CASE("a snapshot of another tree is refused with all that differs; partial takes what fits",
          "[snapshot]") {
  const Folder folder;
  Program(folder / "snapshots").ground.dig();
  const torch::Tensor weight = trained(3);
  SECTION("nodes") {
    Program other(folder / "snapshots", {.prints = true, .takes = false});
    CHECK(
        message([&] { other.ground.resume(other.snapshots).dig(); }) ==
        "Ground: the snapshot must be of this tree, got one that differs; start anew, or take what fits with "
        "{.partial = true}:\n  epochs/iteration_end[3]/Snapshot (Snapshot) is not in the tree\n"
        "  epochs/iteration_start[0]/Call (Call) is not in the snapshot");
    CHECK(other.weight().equal(trained(0)));
    CHECK(other.reason == "");
    CHECK(other.ground.resume(other.snapshots, {.partial = true}).dig().completed);
    CHECK(other.seen ==
          std::vector<std::int64_t>{1, 2, 3});  // from the root, with the weights of the snapshot
    CHECK(other.weight().equal(trained(6)));
  }
  SECTION("shapes") {
    Program other(folder / "snapshots", {.inputs = 4, .outputs = 3});
    const torch::Tensor before = other.weight();
    CHECK(
        message([&] { other.ground.resume(other.snapshots).dig(); }) ==
        "Ground: the snapshot must be of this tree, got one that differs; start anew, or take what fits with "
        "{.partial = true}:\n  model: weight: shape must be [3, 4], got [2, 3]\n  model: bias: shape must be "
        "[3], got [2]");
    CHECK(other.weight().equal(before));
  }
}

TEST_CASE("a snapshot that can't be written is told, and the run goes on with the last good one",
          "[snapshot]") {
  const Folder folder;
  SECTION("the folder is a file") {
    tests::put(folder / "file", "text");
    Program program(folder / "file/snapshots");
    ErrorOutput errors;
    CHECK(program.ground.dig().completed);
    const Lines told = [&] {
      Lines lines;
      std::istringstream text(errors.text());
      for (std::string line; std::getline(text, line);) lines.push_back(line);
      return lines;
    }();
    CHECK(told ==
          Lines(3, "Snapshot: no snapshot was written: " + program.snapshots->error.value_or("none")));
    CHECK(program.snapshots->number == 0);
    CHECK(program.weight().equal(trained(3)));
  }
  // Another thread may write it.
  const auto wait_for_the_first = [&] {
    while (!std::filesystem::exists(folder / "snapshots/00000001.safetensors"))
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
  };
  SECTION("the disk is full") {
    Program program(folder / "snapshots");
    std::optional<tests::FullDisk> full;
    program.during = [&] {
      if (program.epochs->counter != 2) return;
      wait_for_the_first();
      full.emplace(1000);
    };
    ErrorOutput errors;
    CHECK(program.ground.dig().completed);
    full.reset();
    CHECK(errors.text().find("Snapshot: no snapshot was written: ") == 0);
    CHECK(program.snapshots->error.has_value());
    CHECK(program.snapshots->number == 1);
    CHECK(folder.files() == Lines{"snapshots/.lock", "snapshots/00000001.safetensors"});
    CHECK(program.weight().equal(trained(3)));
    Program second(folder / "snapshots");  // the last good one
    CHECK(second.ground.resume(second.snapshots).dig().completed);
    CHECK(second.seen == std::vector<std::int64_t>{2, 3});
    CHECK(second.snapshots->error == std::nullopt);
    CHECK(second.weight().equal(trained(3)));
  }
  SECTION("the folder is gone") {
    Program program(folder / "snapshots");
    program.during = [&] {
      if (program.epochs->counter != 2) return;
      wait_for_the_first();
      std::filesystem::rename(folder / "snapshots", folder / "elsewhere");
    };
    ErrorOutput errors;
    CHECK(program.ground.dig().completed);
    CHECK(errors.text().find("must stay while a run writes to it") != std::string::npos);
    CHECK(program.snapshots->error.has_value());
    CHECK(folder.files() == Lines{"elsewhere/.lock", "elsewhere/00000001.safetensors"});
  }
  SECTION("unless it is to stop") {
    tests::put(folder / "file", "text");
    Program program(folder / "file/snapshots", {.stop_on_error = true});
    CHECK(message([&] { program.ground.dig(); }).find("epochs/iteration_end[3]/Snapshot: ") == 0);
    CHECK(program.reason.find("error: ") == 0);
    CHECK(program.seen == std::vector<std::int64_t>{1});
  }
  SECTION("a folder to which another run writes") {
    Program first(folder / "snapshots"), second(folder / "snapshots", {.stop_on_error = true});
    std::string told;
    first.during = [&] {
      if (first.epochs->counter == 2) told = message([&] { second.ground.dig(); });
    };
    CHECK(first.ground.dig().completed);
    CHECK(told.find("must have one writer") != std::string::npos);
    CHECK(second.ground.dig().completed);  // the first has ended
  }
}

TEST_CASE("what a snapshot can't hold is a fault of the tree", "[snapshot]") {
  const Folder folder;
  Program program(folder / "snapshots");
  SECTION("two Snapshots") {
    program.epochs("end", ab::Snapshot(folder / "others"));
    CHECK(texts(ab::faults(program.ground)) ==
          Lines(2, "a tree has one Snapshot, got two; hang the same one wherever one is to be taken"));
  }
  SECTION("two models without names") {
    torch::nn::Linear other(3, 2);
    program.epochs("end", ab::SaveModel(other, folder / "other"));
    CHECK(texts(ab::faults(program.ground)) == Lines{"a snapshot of several things of the kind model names "
                                                     "them after their nodes, got a SupervisedPass "
                                                     "without a name; call .named(\"...\") on it",
                                                     "a snapshot of several things of the kind model names "
                                                     "them after their nodes, got a SaveModel without "
                                                     "a name; call .named(\"...\") on it"});
  }
  SECTION("a state that it can't write down") {
    program.epochs("end", ab::Handle<Opened>());
    const Lines told = texts(ab::faults(program.ground));
    REQUIRE(told.size() == 1);
    CHECK(told[0].find("a snapshot must be able to hold every state, got file of ") == 0);
    REQUIRE(program.ground.holds().cannot.size() >= 1);
  }
  SECTION("a name of the user's that a part has") {
    int count = 0;
    program.ground.holds("model", count);
    CHECK(
        texts(ab::faults(program.ground)) ==
        Lines{"what a snapshot holds has names of its own, got \"model\" twice; name one of them otherwise"});
  }
  SECTION("a name of the user's that the generators have") {
    int count = 0;
    program.ground.holds("generator", count);
    CHECK(texts(ab::faults(program.ground)) == Lines{"what a snapshot holds has names of its own, got "
                                                     "\"generator\" twice; name one of them otherwise"});
  }
}

TEST_CASE("a tree that grew while it ran has no place to go on from", "[snapshot]") {
  const Folder folder;
  const auto grow = [](Program& program) {
    program.during = [&program] {
      if (program.epochs->counter == 2) program.epochs("end", ab::Call([] {}));
    };
  };
  Program program(folder / "snapshots");
  grow(program);
  CHECK(program.ground.dig().completed);
  Program same(folder / "snapshots");
  CHECK(message([&] { same.ground.resume(same.snapshots).dig(); }).find("start anew, or take what fits") !=
        std::string::npos);
  same.epochs("end", ab::Call([] {}));  // as the first was in the end
  CHECK(message([&] { same.ground.resume(same.snapshots).dig(); }) ==
        "Ground: a snapshot must tell where its run was, got one of a tree that grew while it ran; take its "
        "models "
        "and fields with {.partial = true}, and the run starts at the root");
  CHECK(same.ground.resume(same.snapshots, {.partial = true}).dig().completed);
  CHECK(same.seen == std::vector<std::int64_t>{1, 2, 3});
  CHECK(same.weight().equal(trained(6)));
}

TEST_CASE("a run that was stopped or failed goes on in the same process, with the same objects",
          "[snapshot]") {
  const Folder folder;
  Program program(folder / "snapshots", {.epochs = 4});
  SECTION("stopped") {
    program.during = [&] {
      if (program.epochs->counter == 3) program.ground->run()->stop("enough");
    };
    const auto outcome = program.ground.dig();
    CHECK(outcome.reason == "enough");
  }
  SECTION("failed") {
    program.during = [&] {
      if (program.epochs->counter == 3) throw std::runtime_error("no memory");
    };
    CHECK(message([&] { program.ground.dig(); }).find("no memory") != std::string::npos);
    CHECK(program.reason == "error: no memory");
  }
  CHECK(program.seen == std::vector<std::int64_t>{1, 2, 3});
  program.during = nullptr;
  CHECK(program.ground.resume(program.snapshots).dig().completed);
  CHECK(program.seen == std::vector<std::int64_t>{1, 2, 3, 3, 4});
  CHECK(program.weight().equal(trained(4)));
}

TEST_CASE("a snapshot that is asked for within a pass waits until the pass is over", "[snapshot]") {
  const Folder folder;
  Program program(folder / "snapshots", {.takes = false});
  Lines seen;
  program.pass("end", program.snapshots,
               [&] { seen.push_back(fmt::format("end {}", program.snapshots->number)); });
  program.epochs("iteration_end",
                 [&] { seen.push_back(fmt::format("behind {}", program.snapshots->number)); });
  program.ground.dig();
  CHECK(seen == Lines{"end 0", "behind 1", "end 1", "behind 2", "end 2", "behind 3"});
}

TEST_CASE("things that no node knows of are held where the ground is told", "[snapshot]") {
  const Folder folder;
  struct Told {
    explicit Told(Program& program, std::int64_t seed)
        : generator(at::detail::createCPUGenerator(std::uint64_t(seed))),
          net(torch::nn::Linear(2, 2)),
          optimizer(net->parameters(), torch::optim::AdamOptions(0.1 * double(seed))) {
      vector = torch::full({3}, float(seed), torch::requires_grad());
      names = {fmt::format("{}", seed)};
      program.ground.holds("generator_of_mine", generator)
          .holds("net", net)
          .holds("optimizer_of_net", optimizer)
          .holds("vector", vector)
          .holds("names", names);
    }
    at::Generator generator;
    torch::nn::Linear net;
    torch::optim::Adam optimizer;
    torch::Tensor vector;
    Lines names;
  };
  Program first(folder / "snapshots");
  torch::manual_seed(5);
  Told told(first, 1);
  told.net->forward(torch::ones({1, 2})).sum().backward();
  told.optimizer.step();
  first.ground.dig();

  Program second(folder / "snapshots");
  Told back(second, 2);
  const torch::Tensor same = back.vector;  // as an optimizer holds it
  CHECK(second.ground.resume(second.snapshots).dig().completed);
  CHECK(back.net->weight.equal(told.net->weight));
  CHECK(back.names == told.names);
  CHECK(torch::rand({3}, back.generator).equal(torch::rand({3}, told.generator)));
  CHECK(static_cast<torch::optim::AdamOptions&>(back.optimizer.param_groups()[0].options()).lr() == 0.1);
  CHECK(back.optimizer.state().size() == 2);
  CHECK(same.equal(told.vector));
  CHECK(back.vector.is_same(same));
  CHECK(back.vector.requires_grad());

  const auto text = second.ground.holds();
  const std::string pass = "epochs/iteration_end[0]/data/iteration_end[0]/SupervisedPass";
  CHECK(text.holds == Lines{"Ground: reason, completed", "epochs: counter, total, steps",
                            "epochs/iteration_end[0]/data: counter, steps, samples, done_before",
                            pass + ": skipped", "epochs/iteration_end[3]/Snapshot: path, number, best_value",
                            "generator_of_mine: 1 tensors, 5056 bytes", "net: 2 tensors, 24 bytes",
                            "optimizer_of_net: 4 tensors, 48 bytes", "vector: 1 tensors, 12 bytes",
                            "names: 0 tensors, 0 bytes",
                            "epochs/iteration_end[0]/data.data: 0 tensors, 0 bytes",
                            "model: 2 tensors, 32 bytes", pass + ".result: 1 tensors, 4 bytes",
                            "optimizer: 0 tensors, 0 bytes", pass + ".update: 0 tensors, 0 bytes",
                            "generator: of the CPU and of each CUDA device"});
  Lines cannot;
  for (const char* place : {"epochs/iteration_end[1]", "epochs/iteration_end[2]", "final[0]"})
    cannot.push_back(
        fmt::format("{}/Call: what its callable captures; tell of it with ground.holds(name, thing)", place));
  CHECK(text.cannot == cannot);
}

TEST_CASE("a signal stops a run in order, behind a snapshot where there is a Snapshot", "[snapshot]") {
  const Folder folder;
  const auto send = [](Program& program) {
    program.during = [&program] {
      if (program.epochs->counter == 2) ::raise(SIGTERM);
    };
    program.ground.on_signals({SIGTERM});
  };
  static int caught = 0;
  const auto before = ::signal(SIGTERM, [](int) { ++caught; });
  SECTION("with a Snapshot") {
    Program program(folder / "snapshots", {.takes = false});
    program.epochs("end", program.snapshots);
    send(program);
    const auto outcome = program.ground.dig();
    CHECK_FALSE(outcome.completed);
    CHECK(outcome.reason == "signal SIGTERM");
    CHECK(program.reason == "signal SIGTERM");
    CHECK(program.snapshots->number == 1);
    Program second(folder / "snapshots", {.takes = false});
    second.epochs("end", second.snapshots);
    CHECK(second.ground.resume(second.snapshots).dig().completed);
    CHECK(second.seen == std::vector<std::int64_t>{3});
    CHECK(second.weight().equal(trained(3)));
  }
  SECTION("without") {
    Program program(folder / "snapshots", {.takes = false});
    send(program);
    CHECK(program.ground.dig().reason == "signal SIGTERM");
    CHECK(program.seen == std::vector<std::int64_t>{1, 2});
    CHECK(folder.files().empty());
  }
  SECTION("in a pass, in an evaluation") {
    Program program(folder / "snapshots", {.takes = false});
    program.epochs("end", program.snapshots);
    program.pass("forward", [&] {
      if (program.epochs->counter == 2) ::raise(SIGTERM);
    });
    program.ground.on_signals({SIGTERM});
    CHECK(program.ground.dig().reason == "signal SIGTERM");
    CHECK(program.snapshots->number == 1);
    CHECK(program.weight().equal(trained(2)));
  }
  SECTION("the signal of a run is not for one inside it") {
    Program program(folder / "snapshots", {.takes = false}), inner(folder / "inner");
    inner.epochs("iteration_end", ab::Break());
    program.during = [&] {
      if (program.epochs->counter != 2) return;
      ::raise(SIGTERM);
      CHECK(inner.ground.dig().reason == "broken off");
    };
    program.ground.on_signals({SIGTERM});
    CHECK(program.ground.dig().reason == "signal SIGTERM");
  }
  ::raise(SIGTERM);
  CHECK(caught == 1);  // the handler before is there again
  caught = 0;
  ::signal(SIGTERM, before);
}

}  // namespace snapshot_edges_tests
