#include <abyme/core/reflect.hpp>

#include <abyme/core/input.hpp>

#include <catch2/catch.hpp>

#include <chrono>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace ab = abyme;

namespace reflect_tests {

namespace outer {
struct Plain {
  int first;
  double second;
};
template <class T>
struct Box {
  T item;
};
}  // namespace outer

namespace {

enum class Mode { on, off };

struct Nested {
  int a;
  int b;
};

struct Wide {
  std::optional<std::string> prefix;
  std::vector<std::string> names;
  std::chrono::milliseconds wait{};
  bool flag = false;
  at::Tensor tensor;
  std::filesystem::path folder;
  std::shared_ptr<int> shared;
  Nested nested;
  std::map<std::string, int> table;
  std::function<void()> act;
  Mode mode = Mode::on;
  std::optional<ab::Input<double>> late;
};

struct NoDefault {
  explicit NoDefault(int) {}
};
struct HoldsNoDefault {
  NoDefault inside;
  int second;
};

struct Empty {};

template <class T>
std::pair<std::string_view, std::string_view> local_names(T) {
  struct A {};
  struct B {};
  return {ab::type_name<A>, ab::type_name<B>};
}

}  // namespace

TEST_CASE("types are named as the compiler writes them") {
  CHECK(ab::type_name<int> == "int");
  CHECK(ab::type_name<outer::Plain> == "reflect_tests::outer::Plain");
  CHECK_THAT(std::string(ab::type_name<outer::Box<outer::Box<int>>>),
             Catch::Matches("reflect_tests::outer::Box<reflect_tests::outer::Box<int> ?>"));
  CHECK(ab::type_name<outer::Box<int[3]>>.starts_with("reflect_tests::outer::Box<"));
  CHECK(ab::type_name<outer::Box<int[3]>>.back() == '>');
  CHECK(ab::type_name<outer::Box<int[3]>> != ab::type_name<outer::Box<int[4]>>);
}

TEST_CASE("two local types of one template function have two names") {
  const auto [a, b] = local_names(1);
  CHECK(a != b);
}

TEST_CASE("members of an aggregate are counted and named") {
  STATIC_REQUIRE(ab::member_count<Empty> == 0);
  STATIC_REQUIRE(ab::member_count<outer::Plain> == 2);
  STATIC_REQUIRE(ab::member_name<outer::Plain, 0> == "first");
  STATIC_REQUIRE(ab::member_name<outer::Plain, 1> == "second");
  STATIC_REQUIRE(ab::member_count<outer::Box<int>> == 1);
  STATIC_REQUIRE(ab::member_name<outer::Box<std::string>, 0> == "item");
  STATIC_REQUIRE(ab::member_count<HoldsNoDefault> == 2);
  STATIC_REQUIRE(ab::member_name<HoldsNoDefault, 1> == "second");
}

TEST_CASE("members may be of any type, up to twelve") {
  STATIC_REQUIRE(ab::member_count<Wide> == 12);
  STATIC_REQUIRE(ab::member_name<Wide, 0> == "prefix");
  STATIC_REQUIRE(ab::member_name<Wide, 7> == "nested");
  STATIC_REQUIRE(ab::member_name<Wide, 11> == "late");
}

TEST_CASE("members of a local type are named") {
  struct Local {
    int steps;
    double from;
  };
  CHECK(ab::member_name<Local, 0> == "steps");
  CHECK(ab::member_name<Local, 1> == "from");
}

TEST_CASE("members refer to the object") {
  outer::Plain plain{1, 2.5};
  std::get<1>(ab::members(plain)) = 4;
  CHECK(plain.second == 4);
  const outer::Plain& constant = plain;
  CHECK(std::get<0>(ab::members(constant)) == 1);
}

}  // namespace reflect_tests
