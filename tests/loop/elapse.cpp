#include <abyme/loop/elapse.hpp>

#include <catch2/catch.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace ab = abyme;

namespace elapse_tests {
namespace {

/// Counts how many batches were drawn.
struct Counting {
  struct Iterator {
    int* drawn;
    int at = 0;
    std::vector<int> operator*() const {
      ++*drawn;
      return std::vector<int>(static_cast<std::size_t>(at + 1));
    }
    Iterator& operator++() {
      ++at;
      return *this;
    }
    bool operator!=(const Iterator& end) const { return at != end.at; }
  };
  int size;
  int* drawn;
  Iterator begin() const { return {drawn}; }
  Iterator end() const { return {drawn, size}; }
};

template <class Batches>
std::string seen(Batches&& batches) {
  std::string text;
  for (const auto& [elapsed, batch] : batches)
    text += fmt::format("{}/{}:{} ", elapsed.steps, elapsed.samples, batch.size());
  return text;
}

}  // namespace

TEST_CASE("elapse gives each batch with what was finished before it") {
  int drawn = 0;
  CHECK(seen(ab::elapse(Counting{4, &drawn})) == "0/0:1 1/1:2 2/3:3 3/6:4 ");
  CHECK(seen(ab::elapse(Counting{0, &drawn})).empty());
  const std::vector<std::vector<int>> data{{1, 2}, {3}};
  CHECK(seen(ab::elapse(data)) == "0/0:2 1/2:1 ");
  for (const auto& [elapsed, batch] : ab::elapse(data)) {
    CHECK(&batch == &data[static_cast<std::size_t>(elapsed.steps)]);  // not copied
  }
}

TEST_CASE("elapse ends behind the batch that reaches the stop, and draws no other") {
  int drawn = 0;
  const auto up_to = [&drawn](ab::Period stop) {
    drawn = 0;
    const std::string text = seen(ab::elapse(Counting{9, &drawn}, {.stop = stop}));
    return text + fmt::format("({})", drawn);
  };
  CHECK(up_to(3) == "0/0:1 1/1:2 2/3:3 (3)");
  CHECK(up_to(0) == "0/0:1 (1)");
  CHECK(up_to(ab::samples(5)) == "0/0:1 1/1:2 2/3:3 (3)");
  CHECK(up_to(ab::steps(3) || ab::samples(3)) == "0/0:1 1/1:2 (2)");
  CHECK(up_to(ab::Date()) == "0/0:1 (1)");
}

TEST_CASE("elapse counts on from what was done before, and a batch may be counted otherwise") {
  int drawn = 0;
  CHECK(seen(ab::elapse(Counting{3, &drawn}, {.initial = {.steps = 10, .samples = 100}, .stop = 12})) ==
        "10/100:1 11/101:2 ");
  CHECK(seen(ab::elapse(Counting{3, &drawn}, {}, [](const auto& batch) { return 10 * batch.size(); })) ==
        "0/0:1 1/10:2 2/30:3 ");
  CHECK(seen(ab::elapse(std::vector<std::string>{"a", "bb"})) ==
        "0/0:1 1/1:2 ");  // nothing tells: one sample each
}

}  // namespace elapse_tests
