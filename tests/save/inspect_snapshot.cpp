#include <torch/torch.h>

#include <abyme/abyme.hpp>
#include <abyme/save/inspect_snapshot.hpp>

#include <catch2/catch.hpp>

#include "support/error_of.hpp"
#include "support/folder.hpp"

#include <sstream>

namespace ab = abyme;

namespace inspect_snapshot_tests {

using Catch::Contains;
using tests::content;
using tests::Folder;
using tests::put;

namespace {

struct MeterNode : ab::Node {  // a node with state of several types
  std::optional<double> best;
  std::vector<std::int64_t> last, seen;
  torch::Tensor sum = torch::zeros({2, 3});
  static constexpr auto fields =
      ab::fields(ab::state("best", &MeterNode::best), ab::state("last", &MeterNode::last),
                 ab::state("seen", &MeterNode::seen), ab::state("sum", &MeterNode::sum));
  ab::Step next(ab::Step) override {
    for (std::int64_t i = 0; i < 25; ++i) seen.push_back(1000 + i);
    last = {std::int64_t(seen.size()) / 25 - 1, std::int64_t(seen.size()) / 25};
    return ab::done;
  }
};
using Meter = ab::Handle<MeterNode>;

// A snapshot in the second of three batches of the second epoch.
std::string write_snapshot(const Folder& folder) {
  torch::nn::Sequential model(torch::nn::Linear(3, 2), torch::nn::BatchNorm1d(2));
  std::int64_t best_epoch = 7;
  torch::Tensor head = torch::zeros({4}, torch::kDouble);
  ab::Snapshot snapshots(folder / "run");
  auto epochs = ab::IterationLooper(2).named("epochs");
  auto data = ab::DataLooper(std::vector<int>{1, 2, 3}).named("data");
  data("iteration_end", Meter().named("meter"),
       ab::PeriodicTrigger(4, {.wait_periods = 1})("dig", snapshots));
  data("end", snapshots);
  epochs("iteration_start", data);
  ab::Ground ground;
  ground("dig", epochs).holds("model", model).holds("best_epoch", best_epoch).holds("model.head", head);
  CHECK(ground.dig().completed);
  return folder / "run/00000002.safetensors";
}

std::string text_of(const std::string& path) {
  std::ostringstream out;
  out << ab::snapshots::inspect(path);
  return out.str();
}
std::string replaced(std::string text, const std::string& what, const std::string& by) {
  for (std::size_t at = 0; (at = text.find(what, at)) != text.npos; at += by.size())
    text.replace(at, what.size(), by);
  return text;
}
std::string error_of(const std::string& path) {
  return tests::error_of([&] { ab::snapshots::inspect(path); });
}

}  // namespace

TEST_CASE("a snapshot is summed up: where the run was, nodes, parts", "[inspect_snapshot]") {
  const Folder folder;
  const std::string path = write_snapshot(folder);
  const auto summary = ab::snapshots::inspect(path);
  std::string text = replaced(summary.text(), folder.path().string(), "FOLDER");
  text = replaced(text, summary.record.at("run").as<std::string>(), "RUN");
  text = replaced(text, ab::snapshots::reflect::size_text(std::filesystem::file_size(path)), "SIZE");
  CHECK(text == R"(FOLDER/run/00000002.safetensors: snapshot, SIZE, good
run: RUN
taken at: epochs/iteration_start[0]/data/iteration_end[1]/PeriodicTrigger/dig[0]/Snapshot
counters: epochs 1, data 2
goes on at:
  Ground/dig[1]
  epochs/iteration_start[1]
  epochs/iteration_start[0]/data/iteration_end[2]
  epochs/iteration_start[0]/data/iteration_end[1]/PeriodicTrigger/dig[1]
nodes:
  Ground
    reason     none
    completed  false
  epochs (IterationLooper)
    counter  1
    total    2
    steps    1
  epochs/iteration_start[0]/data (DataLooper)
    counter              2
    steps                5
    samples              5
    done_before.steps    0
    done_before.samples  0
    done_before.time     0.0
    done_before.date     0
  epochs/iteration_start[0]/data/iteration_end[0]/meter (Meter): 1 tensor, 24 bytes
    best  none
    last  [4,5]
    seen  125 values
    sum   F32 [2, 3], 24 bytes
  epochs/iteration_start[0]/data/iteration_end[1]/PeriodicTrigger
    counter  5
  epochs/iteration_start[0]/data/iteration_end[1]/PeriodicTrigger/dig[0]/Snapshot
    path        "FOLDER/run/00000001.safetensors"
    number      2
    best_value  none
parts:
  model: 7 tensors, 72 bytes
    training               [true,true,true]
    frozen                 []
    memory_orders          []
    0.bias                 F32 [2], 8 bytes
    0.weight               F32 [2, 3], 24 bytes
    1.bias                 F32 [2], 8 bytes
    1.num_batches_tracked  I64 [], 8 bytes
    1.running_mean         F32 [2], 8 bytes
    1.running_var          F32 [2], 8 bytes
    1.weight               F32 [2], 8 bytes
  best_epoch
    value  7
  model.head: 1 tensor, 32 bytes
    value  F64 [4], 32 bytes
  epochs/iteration_start[0]/data.data
    drawn      2
    has_batch  true
    is_over    false
    source     none
  generator: 1 tensor, 5.06 kB
    cpu  U8 [5056], 5.06 kB
)");
  CHECK(summary.is_snapshot());
  CHECK(summary.progress() == "epochs 1, data 2");
}

TEST_CASE("a file of weights is summed up: its tensors", "[inspect_snapshot]") {
  const Folder folder;
  ab::save_weights(torch::nn::Linear(1200, 2), folder / "net.safetensors");
  const std::string size =
      ab::snapshots::reflect::size_text(std::filesystem::file_size(folder / "net.safetensors"));
  CHECK(text_of(folder / "net.safetensors") == folder / "net.safetensors: tensors, " + size +
                                                   ", without a checksum\n"
                                                   "  all: 2 tensors, 9.61 kB\n"
                                                   "    bias    F32 [2], 8 bytes\n"
                                                   "    weight  F32 [2, 1200], 9.60 kB\n");
  CHECK(!ab::snapshots::inspect(folder / "net.safetensors").is_snapshot());
}

TEST_CASE("sizes are told with three digits", "[inspect_snapshot]") {
  const std::vector<std::pair<std::uint64_t, std::string>> sizes{{0, "0 bytes"},
                                                                 {999, "999 bytes"},
                                                                 {1000, "1.00 kB"},
                                                                 {9994, "9.99 kB"},
                                                                 {9996, "10.0 kB"},
                                                                 {99'949, "99.9 kB"},
                                                                 {99'951, "100 kB"},
                                                                 {999'499, "999 kB"},
                                                                 {999'501, "1.00 MB"},
                                                                 {4'700'000'000, "4.70 GB"},
                                                                 {std::uint64_t(-1), "18447 PB"}};
  for (const auto& [bytes, text] : sizes) CHECK(ab::snapshots::reflect::size_text(bytes) == text);
}

TEST_CASE("a damaged snapshot is summed up as far as it makes sense, and said to be damaged",
          "[inspect_snapshot]") {
  const Folder folder;
  const std::string path = write_snapshot(folder);
  const std::string good = content(path);
  const std::string text = text_of(path);
  std::string damaged = good;
  damaged[damaged.size() - 3] ^= 1;  // in a tensor
  put(path, damaged);
  CHECK(text_of(path) == replaced(text, ", good", ", damaged: its checksum differs"));
  CHECK(ab::snapshots::inspect(path).is_damaged());

  put(path, good.substr(0, good.size() - 1));
  CHECK_THAT(error_of(path), Contains("the file " + path + " must have as many bytes of tensors"));
  put(path, replaced(good, R"(\"version\":1)", R"(\"version\":})"));
  CHECK_THAT(error_of(path), Contains("the file " + path + " must") && Contains("JSON"));
  put(path, replaced(good, R"(\"tree\":)", R"(\"tred\":)"));
  CHECK_THAT(error_of(path), Contains("the file " + path + " must") && Contains("tree"));
  CHECK_THAT(error_of(folder / "none"), Contains(folder / "none"));
}

}  // namespace inspect_snapshot_tests
