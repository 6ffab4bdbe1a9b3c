#include <abyme/write/bar_text.hpp>

#include <catch2/catch.hpp>

#include <array>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace ab = abyme;

namespace bar_text_tests {

using ab::BarStyle;

namespace {

// A row of bar_text.tsv, which pkbar and tqdm wrote: see bar_text.py.
std::array<std::string, 9> cells_of(const std::string& line) {
  std::array<std::string, 9> cells;
  std::istringstream in(line);
  for (std::string& cell : cells) std::getline(in, cell, '\t');
  return cells;
}

}  // namespace

TEST_CASE("bars are those of pkbar and tqdm, character by character") {
  std::ifstream file(std::filesystem::path(__FILE__).replace_filename("bar_text.tsv"));
  std::string line;
  std::getline(file, line);  // the names of the columns
  int rows = 0;
  for (; std::getline(file, line); ++rows) {
    const auto [name, done, total, seconds, width, unit, title, shown, text] = cells_of(line);
    const BarStyle style = name == "keras" ? BarStyle::keras : BarStyle::tqdm;
    ab::Progress at{.done = std::stod(done), .seconds = std::stod(seconds), .unit = unit, .title = title};
    if (!total.empty()) at.total = std::stod(total);
    at.per_unit = *at.seconds / at.done;
    at.ended = at.total == at.done;
    std::istringstream pairs(shown);
    std::string values;
    for (std::string pair; pairs >> pair;) {
      const auto equals = pair.find('=');
      ab::add_value(values, style, pair.substr(0, equals), std::stod(pair.substr(equals + 1)));
    }
    at.values = values;
    CHECK(ab::bar_text(style, at, std::stoi(width)) == text);
  }
  CHECK(rows == 96);
}

TEST_CASE("what is not known yet is a question mark, and the time of a whole pass is left out") {
  CHECK(ab::bar_text(BarStyle::keras, {.done = 1, .total = 4}, 8) == "1/4 [=>......] - ETA: ?");
  CHECK(ab::bar_text(BarStyle::tqdm, {.done = 1, .total = 4, .unit = "it"}, 8) ==
        " 25%|##      | 1/4 [00:00<?, ?it/s]");
  CHECK(ab::bar_text(BarStyle::keras, {.done = 1, .total = 1, .ended = true}, 8) == "1/1 [========]");
  CHECK(ab::bar_text(BarStyle::keras, {.done = 0, .total = 4, .seconds = 0}, 8) == "0/4 [........] - ETA: ?");
}

TEST_CASE("nothing to do is done") {
  const ab::Progress none{.done = 0, .total = 0, .seconds = 0, .ended = true, .unit = "it"};
  CHECK(ab::bar_text(BarStyle::keras, none, 8) == "0/0 [========] - 0s");
  CHECK(ab::bar_text(BarStyle::tqdm, none, 8) == "0it [00:00, ?it/s]");
}

TEST_CASE("integers are whole, texts and bools as they are; what is none of these is left out") {
  const auto shown = [](BarStyle style) {
    std::string text;
    ab::add_value(text, style, "count", std::int64_t{123456});
    ab::add_value(text, style, "phase", std::string("warm up"));
    ab::add_value(text, style, "best", true);
    ab::add_value(text, style, "time", ab::Duration(1.5));
    ab::add_value(text, style, "none", {});
    ab::add_value(text, style, "object", ab::Opaque{&ab::type_id<int>, nullptr});
    ab::add_value(text, style, "", 0.5);
    return text;
  };
  CHECK(shown(BarStyle::keras) == " - count: 123456 - phase: warm up - best: true - time: 1.5000 - 0.5000");
  CHECK(shown(BarStyle::tqdm) == ", count=123456, phase=warm up, best=true, time=1.5, 0.5");
}

}  // namespace bar_text_tests
