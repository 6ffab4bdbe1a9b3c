#pragma once

#include <abyme/core/error.hpp>

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace abyme {

/// How much of a text stands for itself in JSON: up to a quote, a backslash or a control character.
inline std::size_t plain_length(std::string_view text) {
  std::size_t length = 0;
  while (length < text.size() && static_cast<unsigned char>(text[length]) >= 0x20 && text[length] != '"' &&
         text[length] != '\\')
    ++length;
  return length;
}

/// A text as JSON, in quotes. What is no UTF-8 stays as it is.
inline std::string json_text(std::string_view text) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string quoted = "\"";
  for (;;) {
    const std::size_t plain = plain_length(text);
    quoted += text.substr(0, plain);
    if (plain == text.size()) return quoted += '"';
    const char c = text[plain];
    if (c == '"' || c == '\\') quoted.append("\\").append(1, c);
    else quoted.append("\\u00").append(1, c < 0x10 ? '0' : '1').append(1, digits[c & 0xf]);
    text.remove_prefix(plain + 1);
  }
}

/// Reads JSON piece by piece: the caller says what comes next. Blanks before a piece are left out. \throws
/// Error, from all that need something, with the place where it is not.
class JsonReader {
public:
  /// `what` is what the messages begin with.
  explicit JsonReader(std::string_view text, std::string what = "JSON")
      : text_(text), what_(std::move(what)) {}

  /// Whether `wanted` comes next, which is taken then.
  bool take(std::string_view wanted) {
    skip_blanks();
    return take_here(wanted);
  }
  /// Whether `wanted` comes next, which is not taken.
  bool next_is(char wanted) {
    skip_blanks();
    return text_.substr(at_).starts_with(wanted);
  }
  void need(std::string_view wanted) {
    if (!take(wanted)) fail("'" + std::string(wanted) + "'");
  }
  void need_end() {
    skip_blanks();
    if (at_ != text_.size()) fail("end");
  }

  std::string string() {
    need("\"");
    std::string text;
    for (;;) {
      const std::size_t plain = plain_length(text_.substr(at_));
      text += text_.substr(at_, plain);
      at_ += plain;
      if (at_ == text_.size()) fail("'\"'");
      const char c = text_[at_++];
      if (c == '"') return text;
      if (c != '\\') fail("'\"' before a control character");
      if (at_ == text_.size()) fail("character behind '\\'");
      switch (const char escaped = text_[at_++]) {
      case 'b': text += '\b'; break;
      case 'f': text += '\f'; break;
      case 'n': text += '\n'; break;
      case 'r': text += '\r'; break;
      case 't': text += '\t'; break;
      case 'u': append_utf8(text, unicode()); break;
      case '"':
      case '\\':
      case '/': text += escaped; break;
      default: fail("escape that JSON knows");
      }
    }
  }

  /// The text of a number.
  std::string_view number() {
    skip_blanks();
    const std::size_t first = at_;
    take_here("-");
    if (!take_here("0")) need_digits();
    bool is_real = false;
    if (take_here(".")) need_digits(), is_real = true;
    if (take_here("e") || take_here("E")) {
      if (!take_here("+")) take_here("-");
      need_digits(), is_real = true;
    }
    is_whole_ = !is_real;
    return text_.substr(first, at_ - first);
  }
  /// Whether the number read last has neither a fraction nor an exponent.
  bool is_whole() const { return is_whole_; }
  /// A number as an Int or a double, which must hold it.
  template <class Number>
  Number number_as(std::string_view text) {
    Number number{};
    const auto result = std::from_chars(text.data(), text.data() + text.size(), number);
    if (result.ec != std::errc() || result.ptr != text.data() + text.size())
      fail("number that fits before this");
    return number;
  }

  [[noreturn]] void fail(std::string_view wanted) const {
    throw Error(what_ + " must be well formed, got no " + std::string(wanted) + " at byte " +
                std::to_string(at_) + "; the text is damaged");
  }

private:
  void skip_blanks() {
    while (at_ < text_.size() && std::string_view(" \t\r\n").find(text_[at_]) != std::string_view::npos)
      ++at_;
  }
  bool take_here(std::string_view wanted) {
    if (!text_.substr(at_).starts_with(wanted)) return false;
    at_ += wanted.size();
    return true;
  }
  void need_digits() {
    const std::size_t first = at_;
    while (at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9') ++at_;
    if (at_ == first) fail("value");
  }

  std::uint32_t hex() {
    std::uint32_t code = 0;
    const std::string_view digits = text_.substr(at_, 4);
    const auto result = std::from_chars(digits.data(), digits.data() + digits.size(), code, 16);
    if (digits.size() != 4 || result.ptr != digits.data() + 4) fail("four hexadecimal digits");
    at_ += 4;
    return code;
  }
  std::uint32_t unicode() {
    const std::uint32_t code = hex();
    if (code < 0xd800 || code > 0xdfff) return code;
    if (code > 0xdbff || !take_here("\\u")) fail("second half of a character");
    const std::uint32_t low = hex();
    if (low < 0xdc00 || low > 0xdfff) fail("second half of a character");
    return 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
  }
  static void append_utf8(std::string& text, std::uint32_t code) {
    const auto put = [&text](std::uint32_t byte) { text += static_cast<char>(byte); };
    if (code < 0x80) return put(code);
    if (code < 0x800) {
      put(0xc0 | code >> 6);
    } else if (code < 0x10000) {
      put(0xe0 | code >> 12);
      put(0x80 | (code >> 6 & 0x3f));
    } else {
      put(0xf0 | code >> 18);
      put(0x80 | (code >> 12 & 0x3f));
      put(0x80 | (code >> 6 & 0x3f));
    }
    put(0x80 | (code & 0x3f));
  }

  std::string_view text_;
  std::string what_;
  std::size_t at_ = 0;
  bool is_whole_ = true;
};

}  // namespace abyme
