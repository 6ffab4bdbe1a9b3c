#include <abyme/write/csv_text.hpp>

#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/zeros.h>

#include <catch2/catch.hpp>

#include <cmath>
#include <limits>

namespace ab = abyme;
using namespace std::chrono_literals;

namespace csv_text_tests {

TEST_CASE("a cell is quoted where it holds a quote, a line break or a separator, and only there") {
  const ab::CSVFormat comma, tab{"\t", "\n"}, words{" and ", "END"};
  CHECK(comma.cell("plain text; with\ttab") == "plain text; with\ttab");
  CHECK(comma.cell("") == "");
  CHECK(comma.cell("a,b") == "\"a,b\"");
  CHECK(comma.cell("\"") == "\"\"\"\"");
  CHECK(comma.cell("a\nb") == "\"a\nb\"");
  CHECK(comma.cell("a\rb") == "\"a\rb\"");
  CHECK(tab.cell("a,b") == "a,b");
  CHECK(tab.cell("a\tb") == "\"a\tb\"");
  CHECK(words.cell("salt and pepper") == "\"salt and pepper\"");
  CHECK(words.cell("THE END") == "\"THE END\"");
  CHECK(words.cell("android") == "android");
}

TEST_CASE(
    "a line is its cells with separators between them; one empty cell is quoted, so that it is a line") {
  const ab::CSVFormat comma, words{" and ", "END"};
  CHECK(comma.line({"a", "", "b,c"}) == "a,,\"b,c\"\n");
  CHECK(words.line({"a", "b"}) == "a and bEND");
  CHECK(comma.line({""}) == "\"\"\n");
  CHECK(comma.line({"", ""}) == ",\n");
}

TEST_CASE("a line ends at the first line break outside quotes") {
  const ab::CSVFormat comma, windows{",", "\r\n"};
  const auto first = [](const ab::CSVFormat& format, std::string_view text) {
    return std::string(text.substr(0, format.line_length(text)));
  };
  CHECK(first(comma, "a,b\nc") == "a,b\n");
  CHECK(first(comma, "a,\"x\ny\"\nc\n") == "a,\"x\ny\"\n");
  CHECK(first(comma, "\"a \"\"quoted\"\"\n\"\nc") == "\"a \"\"quoted\"\"\n\"\n");
  CHECK(first(comma, "no end") == "no end");
  CHECK(first(comma, "") == "");
  CHECK(first(comma, "\na") == "\n");
  CHECK(first(windows, "a\nb\r\nc") == "a\nb\r\n");
}

TEST_CASE("a value as a cell reads back as the same number") {
  const auto text = [](ab::Value value) { return ab::csv_text(value, "na"); };
  for (const double number : {0.1, 1.0 / 3, -0.0, 1e-300, 1.7976931348623157e308, 123456789.125, 2.0, 1e22}) {
    const double back = std::stod(text(number));
    CHECK(back == number);
    CHECK(std::signbit(back) == std::signbit(number));
  }
  CHECK(text(std::int64_t{9007199254740993}) == "9007199254740993");
  CHECK(text(std::numeric_limits<std::int64_t>::min()) == "-9223372036854775808");
  CHECK(text(std::numeric_limits<double>::infinity()) == "inf");
  CHECK(text(std::numeric_limits<double>::quiet_NaN()) == "nan");
  CHECK(text(at::scalar_tensor(0.1, at::kFloat)) == "0.1");
  CHECK(std::stof(text(at::scalar_tensor(1.0F / 3, at::kFloat))) == 1.0F / 3);
}

TEST_CASE("nothing is na, durations are in seconds, large tensors are told by their shape") {
  const auto text = [](ab::Value value) { return ab::csv_text(value, "missing"); };
  CHECK(text({}) == "missing");
  CHECK(text(ab::Duration(1500ms)) == "1.5");
  CHECK(text(true) == "true");
  CHECK(text(std::string("na")) == "na");
  CHECK(text(at::zeros({2, 3})) == "Tensor[2, 3]");
}

TEST_CASE("separators that can't be are told") {
  CHECK(ab::CSVFormat().fault().empty());
  CHECK(ab::CSVFormat{"\t", "\r\n"}.fault().empty());
  CHECK(ab::CSVFormat{" | ", "\n"}.fault().empty());
  CHECK(ab::CSVFormat{"", "\n"}.fault().find("separator must be a text") == 0);
  CHECK(ab::CSVFormat{",", ""}.fault().find("line_separator must be a text") == 0);
  CHECK(ab::CSVFormat{"\"", "\n"}.fault().find("separator must be a text") == 0);
  CHECK(ab::CSVFormat{"\n", "\n"}.fault().find("neither separator nor line_separator") == 0);
  CHECK(ab::CSVFormat{"\r", "\r\n"}.fault().find("neither separator nor line_separator") == 0);
  CHECK(ab::CSVFormat{"a\n", "\n"}.fault().find("neither separator nor line_separator") == 0);
}

}  // namespace csv_text_tests
