#include <torch/torch.h>

#include <abyme/abyme.hpp>
#include <abyme/write/history.hpp>
#include <abyme/write/jsonl_stream.hpp>

#include <catch2/catch.hpp>

#include "support/every_boundary.hpp"
#include "support/history_text.hpp"

#include <chrono>
#include <cstdint>
#include <regex>
#include <string>
#include <vector>

namespace ab = abyme;

namespace snapshot_history_tests {
namespace {

// Rows of several forms, an open row at boundaries, both kinds of lines.
struct Histories : tests::Resumable {
  Histories(bool takes, std::uint64_t seed) : Resumable(takes, seed) {
    ab::IterationLooper epochs(3), batches(3);
    ab::Stats stats("counter");
    ab::StoreAggregator all;
    const ab::TextFile lines("files/deep/lines.jsonl");
    batches("iteration_end", here(), stats,
            [this] {
              const torch::Tensor value = torch::rand({});
              const std::int64_t row = std::int64_t(history.size());
              history.log(ab::Logs().add_loss("loss", value, {.metric = true}).add("own", "row", row));
              if (row % 2 == 0) history.log(ab::Logs().add_output("out", torch::rand({1 + row % 3, 2})));
              if (row % 3 == 0)
                history.log({{"own", {{"text", "row " + std::to_string(row)}, {"yes", row % 2 == 0}}}});
            })("iteration_end", here(), history.add_caller_to_row({"fraction"}),
               history.stream_to("files/log.jsonl"), here(), ab::If([](ab::IterationLooper::Node& node) {
                 return node.counter != 2;
               })("dig", history.commit_row()),
               here());
    epochs("iteration_start", batches)
        .at("iteration_end", here(), ab::JSONLStream("files/epochs.jsonl", {"counter", "fraction"}),
            ab::JSONLStream(lines, {"average", "std"}, {.prefix = "s."}).focus(stats), here(),
            ab::If([](ab::IterationLooper::Node& node) { return node.counter > 1; })(
                "dig", ab::Aggregate(all, {"counter"})),
            all("dig", ab::JSONLStream(lines)), here(), [this] {
              history.accumulate({{"epoch", {{"rows", std::int64_t(history.size())}}}});
              history.commit({1, 2, ab::Duration(3), ab::Date(std::chrono::seconds(4))}, {});
            });
    ground("dig", epochs, here())("final", here());
    look_at_the_end();
  }

  // Without times and dates, which differ.
  std::vector<std::string> outcome() const {
    std::vector<std::string> lines = Resumable::outcome();
    std::erase_if(lines, [](const std::string& line) {
      for (const char* part :
           {".history.time.numbers", ".history.date.numbers", "HistoryStream.file.bytes"}) {
        if (line.find(part) != line.npos) return true;
      }
      return false;
    });
    static const std::regex time("\"time\":[^,]*");
    for (std::string& line : lines) line = std::regex_replace(line, time, "\"time\":");
    for (const auto& [elapsed, logs] : history)
      lines.push_back(fmt::format("row: {} {} {}", elapsed.steps, elapsed.samples, tests::text_of(logs)));
    lines.push_back("open: " + tests::text_of(history.logs()));
    lines.push_back("last: " + tests::text_of(history.accumulated()));
    std::sort(lines.begin(), lines.end());
    return lines;
  }

  ab::History history;
};

}  // namespace

TEST_CASE("a run with a history goes on from every boundary", "[snapshot]") {
  tests::check_every_boundary<Histories>(45);
}

}  // namespace snapshot_history_tests
