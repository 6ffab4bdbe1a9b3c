#pragma once

#include <abyme/core/ground.hpp>

#include <catch2/catch.hpp>

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tests {

using Lines = std::vector<std::string>;

/// The lines of a text without the blanks around them; empty ones are left out.
inline Lines lines_of(std::string_view text) {
  Lines lines;
  while (!text.empty()) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    const auto first = line.find_first_not_of(' ');
    if (first == line.npos) continue;
    lines.emplace_back(line.substr(first, line.find_last_not_of(' ') + 1 - first));
  }
  return lines;
}

/// What happened, line by line. `trace("start", "counter")` is a child that writes `start 0`: the text, then
/// these fields of its caller.
class Trace {
public:
  template <class... Fields>
  abyme::Call operator()(std::string text, Fields... fields) const {
    return abyme::Call([lines = lines_, text, names = Lines{std::string(fields)...}](abyme::Node& caller) {
      std::string line = text;
      for (const std::string& name : names) {
        const abyme::Field* field = caller.find_field(name);
        if (!line.empty()) line += ' ';
        line += field ? abyme::to_text(field->read(caller)) : fmt::format("(no {})", name);
      }
      lines->push_back(std::move(line));
    });
  }

  void add(std::string line) const { lines_->push_back(std::move(line)); }
  void clear() const { lines_->clear(); }
  const Lines& lines() const { return *lines_; }

private:
  std::shared_ptr<Lines> lines_ = std::make_shared<Lines>();
};

/// `CHECK_THAT(trace, happened(R"(...)"))`: the whole of a trace, in order. Blanks around a line don't count,
/// so the text may show by indentation what ran inside what.
class happened : public Catch::MatcherBase<Trace> {
public:
  explicit happened(std::string_view text) : wanted_(lines_of(text)) {}

  bool match(const Trace& trace) const override {
    difference_ = difference(wanted_, trace.lines());
    return trace.lines() == wanted_;
  }
  std::string describe() const override { return "differs: - is missing, + is too much\n" + difference_; }

private:
  // By the longest common subsequence.
  static std::string difference(const Lines& wanted, const Lines& got) {
    std::vector<std::vector<std::size_t>> common(wanted.size() + 1, std::vector<std::size_t>(got.size() + 1));
    for (std::size_t i = wanted.size(); i-- > 0;) {
      for (std::size_t j = got.size(); j-- > 0;) {
        common[i][j] =
            wanted[i] == got[j] ? common[i + 1][j + 1] + 1 : std::max(common[i + 1][j], common[i][j + 1]);
      }
    }
    std::string text;
    for (std::size_t i = 0, j = 0; i < wanted.size() || j < got.size();) {
      if (i < wanted.size() && j < got.size() && wanted[i] == got[j]) text += "  " + got[j], ++i, ++j;
      else if (j == got.size() || (i < wanted.size() && common[i + 1][j] >= common[i][j + 1]))
        text += "- " + wanted[i++];
      else text += "+ " + got[j++];
      text += '\n';
    }
    return text;
  }

  Lines wanted_;
  mutable std::string difference_;
};

}  // namespace tests

template <>
struct Catch::StringMaker<tests::Trace> {
  static std::string convert(const tests::Trace& trace) {
    return fmt::format("a trace of {} lines", trace.lines().size());
  }
};
