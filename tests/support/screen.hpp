#pragma once

#include <abyme/write/live_line.hpp>

#include <algorithm>
#include <cstddef>
#include <optional>
#include <ostream>
#include <streambuf>
#include <string>
#include <vector>

namespace tests {

/// A stream with a terminal behind it that breaks long lines, and anew when its width changes. It knows what
/// a `LiveLine` needs: line feed, carriage return, and "erase from here on". What it shows after each flush
/// is a frame.
class Screen : private std::streambuf, public std::ostream {
public:
  explicit Screen(int width) : std::ostream(static_cast<std::streambuf*>(this)), columns(width) {}

  int columns;
  operator abyme::Terminal() {
    return {*this, [this] { return std::optional(columns); }};
  }

  /// What is shown now, rows without the blanks at their end.
  std::string text() const {
    std::string all;
    for (const auto& line : lines_) {
      std::size_t at = 0;
      do {
        std::string row;
        for (std::size_t i = at; i < std::min(line.size(), at + width()); ++i) row += line[i];
        row.erase(row.find_last_not_of(' ') + 1);
        all += row + "\n";
        at += width();
      } while (at < line.size());
    }
    all.erase(all.find_last_not_of('\n') + 1);
    return all.empty() ? all : all + "\n";
  }
  /// All that were shown, one behind the other, each ended by a line `---`.
  std::string frames() const {
    std::string all;
    for (const std::string& frame : frames_) all += frame + "---\n";
    return all;
  }

private:
  std::size_t width() const { return static_cast<std::size_t>(columns); }

  std::streambuf::int_type overflow(std::streambuf::int_type c) override {
    put(static_cast<char>(c));
    return c;
  }
  int sync() override {
    if (frames_.empty() || frames_.back() != text()) frames_.push_back(text());
    return 0;
  }
  void put(char c) {
    std::vector<std::string>& line = lines_[row_];
    if (!command_.empty() || c == '\x1b') {
      command_ += c;
      if (command_ == "\x1b[J") {
        line.resize(at_);
        lines_.resize(row_ + 1);
      }
      if (command_.size() == 3) command_.clear();
    } else if (c == '\n') {
      at_ = 0;
      if (++row_ == lines_.size()) lines_.emplace_back();
    } else if (c == '\r') {
      if (at_ > 0) at_ = (at_ - 1) / width() * width();  // of the row, not of the line that was broken
    } else {
      if ((static_cast<unsigned char>(c) & 0xC0) == 0x80) {  // goes on in a character of UTF-8
        line[at_ - 1] += c;
        return;
      }
      if (line.size() <= at_) line.resize(at_ + 1, " ");
      line[at_++] = c;
    }
  }

  std::vector<std::vector<std::string>> lines_{{}};  // before they are broken, by character
  std::size_t row_ = 0, at_ = 0;                     // the cursor
  std::string command_;
  std::vector<std::string> frames_;
};

}  // namespace tests
