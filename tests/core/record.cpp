#include <abyme/core/flush_denormals.hpp>
#include <abyme/core/record.hpp>

#include <catch2/catch.hpp>

#include <nlohmann/json.hpp>
#include <support/error_of.hpp>

#include <bit>
#include <limits>

namespace ab = abyme;

namespace record_tests {

using ab::Record;

namespace {

Record filled() {
  Record record;
  record["nothing"];
  record["yes"] = true;
  record["whole"] = std::numeric_limits<std::int64_t>::min();
  record["real"] = 0.1;
  record["real and whole"] = 3.0;
  record["text"] = "two\nlines, \"quoted\" \\ \x01 größe";
  record["list"] = Record::List{1, 2.5, "three", Record::List{}, false};
  record["inner"]["deeper"]["number"] = 7;
  return record;
}

std::string error_of(const std::string& json) {
  return tests::error_of([&] { Record::parse(json); });
}
std::string no(const std::string& wanted, int place) {
  return "JSON must be well formed, got no " + wanted + " at byte " + std::to_string(place) +
         "; the text is damaged";
}

}  // namespace

TEST_CASE("a record is JSON on one line, in the order in which it was filled", "[record]") {
  CHECK(filled().json() == R"({"nothing":null,"yes":true,"whole":-9223372036854775808,"real":0.1,)"
                           R"("real and whole":3.0,"text":"two\u000alines, \"quoted\" \\ \u0001 größe",)"
                           R"("list":[1,2.5,"three",[],false],"inner":{"deeper":{"number":7}}})");
  CHECK(Record().json() == "null");
  CHECK(Record(Record::List{}).json() == "[]");
  CHECK(nlohmann::json::parse(filled().json())["text"] == "two\nlines, \"quoted\" \\ \x01 größe");
}

TEST_CASE("what was written is read, kinds included", "[record]") {
  const Record back = Record::parse(filled().json());
  CHECK(back == filled());
  CHECK(back.at("nothing").is_nothing());
  CHECK(back.at("yes").as<bool>());
  CHECK(back.at("whole").as<std::int64_t>() == std::numeric_limits<std::int64_t>::min());
  CHECK(back.at("real and whole").as<double>() == 3);
  CHECK(back.at("list").as<Record::List>()[2].as<std::string>() == "three");
  CHECK(back.at("inner").at("deeper").at("number").number() == 7);
  CHECK(back.find("none") == nullptr);
  CHECK(Record(7).find("none") == nullptr);
  CHECK_FALSE(Record(3) == Record(3.0));
}

TEST_CASE("every double comes back bit for bit", "[record]") {
  using Limits = std::numeric_limits<double>;
  for (const double number : {0.0, -0.0, 1.0 / 3, 1e300, -1e-300, 1e21, 123456789012345680.0, Limits::max(),
                              Limits::min(), Limits::denorm_min(), Limits::infinity(), -Limits::infinity()}) {
    const double back = Record::parse(Record(number).json()).as<double>();
    CHECK(back == number);
    CHECK(std::signbit(back) == std::signbit(number));
  }
  CHECK(std::isnan(Record::parse(Record(Limits::quiet_NaN()).json()).as<double>()));
}

TEST_CASE("denormal numbers come back bit for bit, also where they count as 0", "[record]") {
  for (const bool flushed : {false, true}) {
    const ab::FlushDenormals flush(flushed);
    for (const std::uint64_t bits : {1ULL, 12345ULL, (1ULL << 52) - 1, 1ULL << 52, (1ULL << 63) + 77}) {
      const double back = Record::parse(Record(std::bit_cast<double>(bits)).json()).as<double>();
      CHECK(std::bit_cast<std::uint64_t>(back) == bits);
    }
  }
}

TEST_CASE("JSON as others write it is read", "[record]") {
  const Record record = Record::parse(
      " { \"a\\/\\b\\f\\n\\r\\t\" : [ 1 , -2E-1,\n1e+2 ] ,\t\"\\u00e9\\u20AC\\ud83d\\ude00\":{ }}\r\n");
  Record expected;
  expected["a/\b\f\n\r\t"] = Record::List{1, -0.2, 100.0};
  CHECK(record.at("é€😀").as<Record::Entries>().empty());
  CHECK(record.at("a/\b\f\n\r\t") == expected.at("a/\b\f\n\r\t"));
  CHECK(record.as<Record::Entries>().size() == 2);
}

TEST_CASE("what is no JSON is told with its place", "[record]") {
  CHECK(error_of("") == no("value", 0));
  CHECK(error_of("[1,") == no("value", 3));
  CHECK(error_of("[1 2]") == no("']'", 3));
  CHECK(error_of("{\"a\" 1}") == no("':'", 5));
  CHECK(error_of("{1:2}") == no("'\"'", 1));
  CHECK(error_of("1 1") == no("end", 2));
  CHECK(error_of("\"a") == no("'\"'", 2));
  CHECK(error_of("\"a\nb\"") == no("'\"' before a control character", 3));
  CHECK(error_of("\"\\x\"") == no("escape that JSON knows", 3));
  CHECK(error_of("\"\\u12\"") == no("four hexadecimal digits", 3));
  CHECK(error_of("\"\\udc00\"") == no("second half of a character", 7));
  CHECK(error_of("\"\\ud83d!\"") == no("second half of a character", 7));
  for (const std::string number : {"01", "1.", ".5", "+1", "1e", "- 1", "0x1", "--1"})
    CHECK_THAT(error_of(number), Catch::StartsWith("JSON must be well formed"));
  CHECK(error_of("9223372036854775808") == no("number that fits before this", 19));
  CHECK(error_of("1e999") == no("number that fits before this", 5));
  CHECK(error_of(std::string(200, '[') + std::string(200, ']')) == "no error");
  CHECK(error_of(std::string(100'000, '[')) == no("end of the nesting, which is deeper than 200,", 201));
  const std::string whole = filled().json();
  for (std::size_t length = 0; length < whole.size(); ++length)
    CHECK(error_of(whole.substr(0, length)) != "no error");
}

TEST_CASE("a record that holds something else than what is read says so", "[record]") {
  CHECK(tests::error_of([] { Record(1).as<std::string>(); }) ==
        "a record must hold what is read from it, got another kind; the file was made by another program");
  CHECK(tests::error_of([] { Record("1").number(); }) ==
        "a record must hold what is read from it, got another kind; the file was made by another program");
  CHECK(tests::error_of([] { filled().at("none"); }) ==
        "a record must have the entry that is read from it, got none named \"none\"; the file was made by "
        "another program");
  CHECK(tests::error_of([] {
          Record record = 1;
          record["a"];
        }) ==
        "a record must be empty or have entries to get the entry \"a\", got a value; write it into a record "
        "of its own");
}

}  // namespace record_tests
