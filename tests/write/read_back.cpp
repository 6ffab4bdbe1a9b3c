// The tables that read_back.py, beside this file, reads with Python's csv module.

#include <abyme/write/csv_stream.hpp>
#include <abyme/write/csv_writer.hpp>

#include <abyme/loop/iteration_looper.hpp>
#include <abyme/trigger/if.hpp>

#include "support/folder.hpp"

#include <catch2/catch.hpp>

#include <array>
#include <cstdlib>
#include <limits>
#include <string>
#include <vector>

namespace ab = abyme;

namespace read_back_tests {
namespace {

constexpr double inf = std::numeric_limits<double>::infinity();
constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

const std::array<double, 12> numbers{0.1,
                                     1e-300,
                                     1.0 / 3,
                                     -0.0,
                                     1.7976931348623157e308,
                                     2.2250738585072014e-308,
                                     1e16 / 3,
                                     -123456789.123456789,
                                     1e23,
                                     inf,
                                     -inf,
                                     not_a_number};
const std::array<std::int64_t, 4> integers{std::numeric_limits<std::int64_t>::max(),
                                           std::numeric_limits<std::int64_t>::min(), 9007199254740993, 0};
const std::array<std::string, 12> texts{"plain",       "say \"hi\"", "a,b;c\td", "two\nlines",
                                        "win\r\ndows", "\r",         "\"",       "",
                                        " blanks ",    "größe 重み", "na",       "\"\n\",\n"};

// Shows one of them each, in turn.
struct ShowsNode : ab::Node {
  static constexpr auto events = ab::events("dig");
  std::size_t row = 0;
  double number() const { return numbers[row % numbers.size()]; }
  std::int64_t integer() const { return integers[row % integers.size()]; }
  const std::string& text() const { return texts[row % texts.size()]; }
  bool flag() const { return row % 2 == 0; }
  std::optional<ab::Duration> time() const {
    return row % 3 == 0 ? std::nullopt : std::optional(ab::Duration(0.001 * double(row)));
  }
  static constexpr auto fields =
      ab::fields(ab::field("number", &ShowsNode::number), ab::field("integer", &ShowsNode::integer),
                 ab::field("a \"text\",\nlong", &ShowsNode::text), ab::field("flag", &ShowsNode::flag),
                 ab::field("time", &ShowsNode::time));
  ab::Step next(ab::Step finished) override { return finished == ab::entry ? events["dig"] : ab::done; }
};
using Shows = ab::Handle<ShowsNode>;

}  // namespace

TEST_CASE("tables of all kinds of cells, for another program to read", "[.read_back]") {
  const tests::Folder fresh;
  const char* given = std::getenv("ABYME_READ_BACK");  // where read_back.py wants them
  const std::string folder = given ? given : fresh.path().string();
  const auto write = [&](const std::string& name, const std::string& separator,
                         const std::string& line_separator) {
    const ab::CSVWriter csv(
        folder + "/" + name + "_writer.csv",
        {.unfilled = ab::Unfilled::na, .separator = separator, .line_separator = line_separator});
    Shows shows;
    std::vector<std::string> names;
    for (const ab::Field& field : shows->shown()) names.emplace_back(field.name);
    ab::IterationLooper loop(24);
    loop(
        "iteration_start", [&](ab::IterationLooper::Node& node) { shows->row = std::size_t(node.counter); },
        csv.open_line(), csv.add_caller_to_line(names).focus(shows),
        ab::If([](ab::IterationLooper::Node& node) { return node.counter >= 7; })(
            "dig", csv.add_caller_to_line({"counter"}, {.prefix = "late."})),
        ab::CSVStream(folder + "/" + name + "_stream.csv", names,
                      {.separator = separator, .line_separator = line_separator})
            .focus(shows))("iteration_end", csv.commit_line(), csv.save());
    ab::Ground()("dig", loop).dig();
  };
  write("comma", ",", "\n");
  write("tab", "\t", "\r\n");
  write("semicolon", ";", "\n");
  CHECK(std::filesystem::exists(folder + "/semicolon_stream.csv"));
}

}  // namespace read_back_tests
