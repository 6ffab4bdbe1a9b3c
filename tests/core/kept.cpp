#include <abyme/core/kept.hpp>

#include <ATen/ops/ones.h>

#include <catch2/catch.hpp>

#include <chrono>
#include <cmath>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace ab = abyme;
using namespace std::chrono_literals;

namespace kept_tests {
namespace {

struct Sum {
  double value = 0;
  void save(ab::Kept& kept) const { kept.data["value"] = value; }
  void load(const ab::Kept& kept) { value = kept.data.at("value").number(); }
};
enum class Color : std::uint8_t { red, green };
struct Inner {
  std::int32_t number = 0;
  std::vector<std::string> names;
};
struct All {
  bool flag = false;
  std::int8_t small = 0;
  std::uint64_t large = 0;
  float half = 0;
  Color color = Color::red;
  std::chrono::milliseconds waited{0};
  std::optional<std::optional<std::int64_t>> twice;
  std::vector<std::pair<std::string, std::vector<double>>> table;
  Inner inner;
  Sum sum;
  std::vector<bool> flags;
};

// Through JSON, as through a file.
template <class T>
T there_and_back(const T& value, T before = {}) {
  ab::Kept kept;
  ab::keep(kept, "thing", value);
  ab::Kept read;
  read.data = ab::Record::parse(kept.data.json());
  for (const auto& [name, tensor] : kept.tensors()) read.add(name, tensor);
  ab::put_back(read, "thing", before);
  return before;
}

}  // namespace

TEST_CASE("what is kept comes back: numbers, lists, pairs, aggregates, classes that keep themselves",
          "[kept]") {
  All all{true,
          -128,
          std::numeric_limits<std::uint64_t>::max(),
          0.1F,
          Color::green,
          -7ms,
          std::optional<std::int64_t>(),
          {{"a", {0.1, -0.0}}, {"", {}}},
          {3, {"x", "\"quoted\"\n", "größe"}},
          {2.5},
          {true, false, true}};
  All before;
  before.table = {{"old", {1}}};
  before.inner.names = {"old"};
  const All back = there_and_back(all, before);
  CHECK(back.flag);
  CHECK(back.small == -128);
  CHECK(back.large == all.large);
  CHECK(back.half == 0.1F);
  CHECK(back.color == Color::green);
  CHECK(back.waited == -7ms);
  CHECK((back.twice && !*back.twice));
  CHECK(back.table == all.table);
  CHECK(std::signbit(back.table[0].second[1]));
  CHECK(back.inner.number == 3);
  CHECK(back.inner.names == all.inner.names);
  CHECK(back.sum.value == 2.5);
  CHECK(back.flags == all.flags);
}

TEST_CASE("every double comes back with its bits, NaN as NaN", "[kept]") {
  for (const double value :
       {0.1, -0.0, 5e-324, std::numeric_limits<double>::max(), std::numeric_limits<double>::infinity(),
        -std::numeric_limits<double>::infinity(), 1e22}) {
    const double back = there_and_back(value);
    CHECK(back == value);
    CHECK(std::signbit(back) == std::signbit(value));
  }
  CHECK(std::isnan(there_and_back(std::nan(""))));
  CHECK(there_and_back(std::numeric_limits<float>::denorm_min()) == std::numeric_limits<float>::denorm_min());
}

TEST_CASE("every kind of value comes back as that kind", "[kept]") {
  const at::Tensor tensor = at::ones({2});
  for (const ab::Value& value :
       {ab::Value(), ab::Value(true), ab::Value(std::int64_t{1}), ab::Value(1.0),
        ab::Value(std::string("text")), ab::Value(ab::Duration(1.5)), ab::Value(tensor)}) {
    const ab::Value back = there_and_back(value, ab::Value(std::string("old")));
    CHECK(ab::kind(back) == ab::kind(value));
    CHECK(ab::to_text(back) == ab::to_text(value));
  }
}

TEST_CASE("tensors are kept under names of their own, and come back to their device", "[kept]") {
  const at::Tensor tensor = at::ones({2});
  ab::Kept kept;
  ab::keep(kept, "list", std::vector<at::Tensor>{tensor, {}, tensor});
  ab::keep(kept, "none", at::Tensor());
  std::vector<std::string> names;
  for (const auto& each : kept.tensors()) names.push_back(each.name);
  CHECK(names == std::vector<std::string>{"list.0", "list.2"});
  std::vector<at::Tensor> list;
  ab::put_back(kept, "list", list);
  CHECK(list.size() == 3);
  CHECK((list[0].is_same(tensor) && !list[1].defined()));
  at::Tensor none = tensor;
  ab::put_back(kept, "none", none);
  CHECK_FALSE(none.defined());
  CHECK(ab::Kept(kept).part("list").tensors().size() == 2);

  // As in a file: its bytes are on the host, the record says where it was.
  ab::Kept on_meta, read;
  ab::keep(on_meta, "there", at::ones({2}, at::kMeta));
  read.data = on_meta.data;
  read.add("there", tensor);
  at::Tensor there;
  ab::put_back(read, "there", there);
  CHECK(there.is_meta());
}

TEST_CASE("lists are lists in the record; long ones of numbers are a tensor", "[kept]") {
  ab::Kept kept;
  ab::keep(kept, "whole", std::vector<std::int32_t>{1, -2});
  ab::keep(kept, "texts", std::vector<std::string>(100, "a"));
  ab::keep(kept, "pairs", std::vector<std::pair<bool, double>>{{true, 0.5}});
  CHECK(kept.tensors().empty());
  CHECK(kept.data.at("whole").json() == "[1,-2]");
  CHECK(kept.data.at("texts").as<ab::Record::List>().size() == 100);
  CHECK(kept.data.at("pairs").json() == R"([{"first":true,"second":0.5}])");

  std::vector<double> reals;
  std::vector<float> halves;
  std::vector<std::uint64_t> wholes;
  std::vector<bool> flags;
  for (int i = 0; i < 100'000; ++i) {
    reals.push_back(i % 2 ? 1.0 / i : -0.0);
    halves.push_back(std::numeric_limits<float>::denorm_min() * float(i));
    wholes.push_back(std::numeric_limits<std::uint64_t>::max() - std::uint64_t(i));
    flags.push_back(i % 3 == 0);
  }
  CHECK(there_and_back(reals, {1}) == reals);
  CHECK(std::signbit(there_and_back(reals)[0]));
  CHECK(there_and_back(halves) == halves);
  CHECK(there_and_back(wholes) == wholes);
  CHECK(there_and_back(flags) == flags);
  CHECK(there_and_back(std::vector<std::vector<double>>{reals, {1}}) ==
        std::vector<std::vector<double>>{reals, {1}});
  ab::keep(kept, "reals", reals);
  CHECK(kept.tensors().size() == 1);
  CHECK(kept.tensors()[0].name == "reals");
  CHECK(kept.tensors()[0].tensor.scalar_type() == at::kDouble);
  CHECK(kept.data.at("reals") == ab::Record(true));
  std::vector<std::int64_t> others;
  CHECK_THROWS_AS(ab::put_back(kept, "reals", others), ab::Error);
}

TEST_CASE("what is not there, or is something else, is an error that says so", "[kept]") {
  ab::Kept kept;
  ab::keep(kept, "text", std::string("text"));
  int number = 0;
  CHECK_THROWS_AS(ab::put_back(kept, "text", number), ab::Error);
  CHECK_THROWS_AS(ab::put_back(kept, "missing", number), ab::Error);
}

TEST_CASE("the compiler knows what can be kept", "[kept]") {
  STATIC_REQUIRE(ab::Keepable<All>);
  STATIC_REQUIRE(ab::Keepable<std::vector<std::optional<Inner>>>);
  STATIC_REQUIRE_FALSE(ab::Keepable<std::shared_ptr<int>>);
  STATIC_REQUIRE_FALSE(ab::Keepable<std::vector<int*>>);
  STATIC_REQUIRE_FALSE(ab::Keepable<ab::Opaque>);
}

}  // namespace kept_tests
