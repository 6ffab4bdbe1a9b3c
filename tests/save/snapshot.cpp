#include <torch/torch.h>

#include <abyme/abyme.hpp>
#include <abyme/save/snapshot.hpp>

#include <catch2/catch.hpp>

#include <support/folder.hpp>

#include <string>
#include <utility>
#include <vector>

namespace ab = abyme;
using Lines = std::vector<std::string>;
using tests::content, tests::Folder;

namespace {

struct NetImpl : torch::nn::Module {
  torch::nn::Linear first{register_module("first", torch::nn::Linear(6, 8))};
  torch::nn::BatchNorm1d norm{register_module("norm", torch::nn::BatchNorm1d(8))};
  torch::nn::Dropout dropout{register_module("dropout", torch::nn::Dropout(0.3))};
  torch::nn::Linear second{register_module("second", torch::nn::Linear(8, 3))};
  torch::Tensor forward(const torch::Tensor& x) {
    return second(dropout(torch::relu(norm(first(x)))));
  }
};
TORCH_MODULE(Net);

torch::Tensor cross_entropy(const torch::Tensor& outputs, const torch::Tensor& targets) {
  return torch::cross_entropy_loss(outputs, targets);
}

ab::TensorBatches some_data(std::uint64_t seed) {
  const auto generator = at::detail::createCPUGenerator(7);
  return {torch::randn({22, 6}, generator),
          torch::randint(3, {22}, generator, torch::kLong),
          {.batch_size = 5, .seed = seed}};
}

// Two optimizers for the halves of a network, dropout, shuffling, an evaluation inside, statistics, a moving window,
// tables with a late column, an average, accumulation, a schedule.
struct Program {
  explicit Program(const std::filesystem::path& folder, std::int64_t take_at = -1)
      : log((folder / "log.txt").string()), csv((folder / "results.csv").string()), snapshots((folder / "snapshots").string(), {.keep = 1000}) {
    torch::manual_seed(3);
    net = Net();
    one = std::make_shared<ab::optim::Adam>(net->first->parameters());
    two = std::make_shared<torch::optim::SGD>(net->second->parameters(), torch::optim::SGDOptions(0.05).momentum(0.9));
    const auto snap = [&] {  // takes one at boundary number `take_at`
      return ab::If([this, take_at] { return boundary++ == take_at; })("dig", snapshots);
    };
    ab::DataLooper train_data(train), test_data(test);
    ab::SupervisedPass first_pass(net, one, cross_entropy, {.accumulate = 2, .average = 0.9});
    ab::SupervisedPass second_pass(net, two, cross_entropy, {.clip_norm = 0.5});
    ab::SupervisedPass test_pass(net, cross_entropy);
    ab::Stats loss("loss"), test_loss("loss");
    ab::MovingStats moving("loss", {.window = 3});
    ab::IterationLooper epochs(3);
    train_data.named("train_data");
    first_pass.named("first_pass");
    second_pass.named("second_pass");
    first_pass("end", loss, snap(), moving);
    second_pass("step", ab::RateSchedule(*two, ab::rates::cosine(10)), snap());
    train_data("start", snap())
        .at("iteration_start", snap())
        .at("iteration_end", snap(), first_pass, snap(), second_pass, snap(),
            ab::CSVStream((folder / "steps.csv").string(), {"counter"}), snap(),
            ab::PeriodicTrigger(2)("dig", snap(), ab::Print(log, "batch {}", ab::caller("counter"))))
        .at("end", snap());
    test_data("iteration_end", test_pass("end", test_loss, snap()), snap());
    epochs("start", snap())
        .at("iteration_start", csv.open_line(), snap(), train_data, snap())
        .at("iteration_end", snap(), ab::Averaged(first_pass)("dig", test_data, snap()),
            csv.add_caller_to_line({"average"}, {.prefix = "test."}).focus(test_loss),
            ab::If([](ab::IterationLooper::Node& node) { return node.counter > 1; })(
                "dig", csv.add_caller_to_line({"std"}, {.prefix = "late."}).focus(loss)),
            csv.commit_line(), csv.save(), snap(), ab::Reset(loss))
        .at("end", snap());
    kept = {train_data.shared(), test_data.shared(), loss.shared(), test_loss.shared(), moving.shared(), first_pass.shared()};
    ground("dig", epochs, snap())("final", snap());
    seen = [=] {
      return Lines{fmt::format("{} {} {}", ab::to_text(loss.get("average")()), ab::to_text(test_loss.get("average")()),
                               ab::to_text(moving.get("average")()))};
    };
  }

  // All that a run leaves behind.
  std::string outcome(const std::filesystem::path& folder) const {
    std::string all = seen()[0];
    for (const auto& each : net->named_parameters()) all += fmt::format("\n{} {}", each.key(), bytes(each.value()));
    for (const auto& each : net->named_buffers()) all += fmt::format("\n{} {}", each.key(), bytes(each.value()));
    ab::Kept kept_one, kept_two;
    ab::optimizer_part(one).save(kept_one);
    ab::optimizer_part(two).save(kept_two);
    for (const auto* part : {&kept_one, &kept_two}) {
      all += "\n" + part->data.json();
      for (const auto& [name, tensor] : part->tensors()) all += fmt::format("\n{} {}", name, bytes(tensor));
    }
    all += fmt::format("\nrandom {}", torch::rand({1}).item<float>());
    for (const char* name : {"results.csv", "steps.csv", "log.txt"}) all += "\n" + content(folder / name);
    return all;
  }
  static std::size_t bytes(const torch::Tensor& tensor) {
    const auto flat = tensor.detach().contiguous();
    return std::hash<std::string_view>()({static_cast<const char*>(flat.const_data_ptr()), flat.nbytes()});
  }

  ab::TextFile log;
  ab::CSVWriter csv;
  ab::Snapshot snapshots;
  std::int64_t boundary = 0;
  ab::TensorBatches train = some_data(1), test = some_data(2);
  Net net{nullptr};
  std::shared_ptr<ab::optim::Adam> one;
  std::shared_ptr<torch::optim::SGD> two;
  ab::Ground ground;
  std::vector<std::shared_ptr<ab::Node>> kept;
  std::function<Lines()> seen;
};

}  // namespace

TEST_CASE("a run goes on from a snapshot at any boundary as if it had never stopped", "[snapshot]") {
  const Folder folder;
  std::filesystem::create_directory(folder / "whole");
  Program whole(folder / "whole");
  CHECK(whole.ground.dig().completed);
  const std::string expected = whole.outcome(folder / "whole");
  const std::int64_t boundaries = whole.boundary;
  CHECK(boundaries > 150);
  for (std::int64_t at = 0; at < boundaries; ++at) {
    const auto place = folder / fmt::format("{}", at);
    std::filesystem::create_directory(place);
    {
      Program first(place, at);  // goes on behind the snapshot, so that files have more than it says
      first.ground.dig();
      REQUIRE(first.snapshots->error.value_or("") == "");
      CHECK(first.outcome(place) == expected);
    }
    Program second(place);
    INFO("boundary " << at);
    const auto outcome = second.ground.resume(second.snapshots).dig();
    CHECK(outcome.completed);
    REQUIRE(second.outcome(place) == expected);
    CHECK(second.boundary < boundaries);
    std::filesystem::remove_all(place);
  }
}
