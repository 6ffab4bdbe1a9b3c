#include <abyme/loop/data_looper.hpp>

#include <abyme/stats/reset.hpp>

#include "support/trace.hpp"

#include <array>
#include <deque>
#include <list>
#include <memory>
#include <ranges>
#include <vector>

namespace ab = abyme;

namespace data_looper_tests {

using tests::happened;
using tests::Trace;

namespace {

// As little as LibTorch's data loaders give: one pass at a time, batches that lie in the iterator.
class Loader {
public:
  struct Batch {
    std::unique_ptr<int> number;  // can't be copied
  };
  class Iterator {
  public:
    Iterator(Loader* loader, int at) : loader_(loader), batch_{std::make_unique<int>(at)} {}
    Iterator(Iterator&&) = default;
    Batch& operator*() { return batch_; }
    Iterator& operator++() {
      batch_ = Batch{std::make_unique<int>(*batch_.number + 1)};
      ++loader_->advanced;
      return *this;
    }
    bool operator!=(const Iterator& other) const { return *batch_.number != *other.batch_.number; }

  private:
    Loader* loader_;
    Batch batch_;
  };

  int batches = 3, begun = 0, advanced = 0;
  Iterator begin() { return ++begun, Iterator(this, 0); }
  Iterator end() { return {this, batches}; }
};

// Dug once, with what it drew as text.
template <class Batch, class Data>
std::string drawn(Data&& data) {
  std::string text;
  ab::DataLooper looper(std::forward<Data>(data));
  looper("iteration_end",
         [&](ab::DataLooper::Node& node) { text += fmt::format("{} ", node.batch<Batch>()); });
  ab::Ground ground;
  ground("dig", looper);
  ground.dig();
  return text;
}

}  // namespace

TEST_CASE("counter and data at every event; a second dig starts from 0") {
  Trace trace;
  ab::DataLooper data(std::vector<int>{10, 11});
  const auto show = [&](const char* event) {
    return [&trace, event](ab::DataLooper::Node& node) {
      trace.add(fmt::format("{} {} {}", event, node.counter,
                            node.data().address ? fmt::format("{}", node.batch<int>()) : "no batch"));
    };
  };
  data("start", show("start"))("iteration_start", show("iteration_start"))(
      "iteration_end", show("iteration_end"))("end", show("end"));
  ab::Ground ground;
  ground("dig", data);
  for (int dig = 0; dig < 2; ++dig) {
    ground.dig();
    CHECK_THAT(trace, happened(R"(
      start 0 no batch
        iteration_start 0 10
        iteration_end 1 10
        iteration_start 1 11
        iteration_end 2 11
      end 2 no batch
    )"));
    trace.clear();
  }
}

TEST_CASE("fields tell how far it is") {
  Trace trace;
  ab::Ground ground;
  ground("dig",
         ab::DataLooper(std::vector<int>(4))("iteration_end", trace("", "counter", "total", "fraction")),
         ab::DataLooper(Loader())("iteration_end", trace("", "counter", "total", "fraction")));
  ground.dig();
  CHECK_THAT(trace, happened(R"(
    1 4 0.25
    2 4 0.5
    3 4 0.75
    4 4 1
    1 none none
    2 none none
    3 none none
  )"));
}

TEST_CASE("empty data gives start and end only") {
  Trace trace;
  std::vector<int> rows;
  ab::DataLooper data(rows);
  data("start", trace("start", "counter", "total", "fraction"))(
      "iteration_end", trace("iteration", "counter"))("end", trace("end", "counter"));
  ab::Ground ground;
  ground("dig", data);
  ground.dig();
  rows = {1};
  ground.dig();
  CHECK_THAT(trace, happened(R"(
    start 0 0 1
    end 0
    start 0 1 0
    iteration 1
    end 1
  )"));
}

TEST_CASE("data is borrowed, owned, shared or taken") {
  std::vector<int> local{1, 2};
  CHECK(drawn<int>(local) == "1 2 ");
  const std::vector<int> constant{1, 2};
  CHECK(drawn<int>(constant) == "1 2 ");
  CHECK(drawn<int>(std::vector<int>{3}) == "3 ");
  CHECK(drawn<int>(std::make_unique<std::list<int>>(2, 7)) == "7 7 ");

  ab::DataLooper borrows(local);
  local.push_back(3);
  CHECK(borrows->total() == 3);

  auto shared = std::make_shared<std::deque<int>>(5);
  {
    ab::DataLooper shares(shared);
    CHECK(shared.use_count() == 2);
  }
  CHECK(shared.use_count() == 1);
  CHECK(drawn<int>(std::shared_ptr<const std::vector<int>>(std::make_shared<std::vector<int>>(2))) == "0 0 ");
}

TEST_CASE("a batch is looked at where it lies, and kept where the range gives it by value") {
  std::vector<int> rows{1, 2};
  const void* seen = nullptr;
  ab::DataLooper looper(rows);
  looper("iteration_end", [&](ab::DataLooper::Node& node) { seen = node.data().address; });
  ab::Ground ground;
  ground("dig", looper);
  ground.dig();
  CHECK(seen == &rows[1]);

  CHECK(drawn<std::string>(std::views::iota(0, 3) | std::views::transform([](int i) {
                             return std::string(std::size_t(i), 'x');
                           })) == " x xx ");
  CHECK(drawn<int>(std::array<int, 2>{4, 5}) == "4 5 ");
  CHECK(drawn<int>(std::views::iota(1, 4) | std::views::filter([](int i) { return i != 2; })) == "1 3 ");
}

TEST_CASE("a range like LibTorch's loaders is enough: begin, end, !=, *, ++") {
  Trace trace;
  Loader loader;
  ab::DataLooper data(loader);
  data("start", [&] { trace.add(fmt::format("start, begun {}", loader.begun)); })
      .at("iteration_end",
          [&](ab::DataLooper::Node& node) {
            trace.add(
                fmt::format("batch {}, advanced {}", *node.batch<Loader::Batch>().number, loader.advanced));
          })
      .at("end", [&](ab::DataLooper::Node& node) {
        CHECK_THROWS_WITH(node.batch<Loader::Batch>(), Catch::Contains("got no batch"));
        trace.add("end");
      });
  ab::Ground ground;
  ground("dig", data);
  ground.dig();
  ground.dig();
  CHECK_THAT(trace, happened(R"(
    start, begun 0
    batch 0, advanced 0
    batch 1, advanced 1
    batch 2, advanced 2
    end
    start, begun 1
    batch 0, advanced 3
    batch 1, advanced 4
    batch 2, advanced 5
    end
  )"));
}

TEST_CASE("a loop that was broken off starts anew") {
  Trace trace;
  Loader loader;
  ab::DataLooper data(loader);
  data("iteration_end", trace("batch", "counter"), ab::Break(data));
  ab::Ground ground;
  ground("dig", data, data);
  ground.dig();
  CHECK(loader.begun == 2);
  CHECK_THAT(trace, happened(R"(
    batch 1
    batch 1
  )"));
}

TEST_CASE("a batch asked for as a wrong type, or too early, says so") {
  ab::DataLooper data(std::vector<int>{1});
  CHECK_THROWS_WITH(
      data->batch<int>(),
      "DataLooper: batch must be asked for as the type of the data, int, and during a pass, got no batch");
  data("iteration_end", [](ab::DataLooper::Node& node) {
    CHECK(node.batch<int>() == 1);
    CHECK_THROWS_WITH(
        node.batch<double>(),
        "DataLooper: batch must be asked for as the type of the data, int, and during a pass, got double");
  });
  ab::Ground ground;
  ground("dig", data);
  ground.dig();
}

TEST_CASE("an error in the range has the looper's path") {
  const auto throws = [](int i) { return i == 1 ? throw std::runtime_error("row 1 is bad") : i; };
  Trace trace;
  ab::DataLooper data(std::views::iota(0, 3) | std::views::transform(throws));
  data("iteration_end", trace("row", "counter"))("end", trace("never"));
  ab::Ground ground;
  ground("dig", data.named("train_data"));
  CHECK_THROWS_WITH(ground.dig(), "train_data: row 1 is bad");
  CHECK_THROWS_WITH(ground.dig(), "train_data: row 1 is bad");
  CHECK(trace.lines().size() == 2);
}

TEST_CASE("a counter that is reset while it runs counts anew") {
  Trace trace;
  ab::DataLooper data(std::vector<int>(3));
  data("iteration_end", trace("", "counter"), ab::Reset(data));
  ab::Ground ground;
  ground("dig", data);
  ground.dig();
  CHECK_THAT(trace, happened("1\n1\n1"));
}

}  // namespace data_looper_tests
