#pragma once

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <sys/ioctl.h>
#include <unistd.h>

namespace abyme {

/// A stream, which is borrowed, and the terminal behind it where there is one.
class Terminal {
public:
  /// The standard streams may be a terminal, others are none.
  Terminal(std::ostream& out) : out_(&out) {
    if (&out == &std::cout) columns_ = [] { return columns_of(STDOUT_FILENO); };
    if (&out == &std::cerr || &out == &std::clog) columns_ = [] { return columns_of(STDERR_FILENO); };
  }
  /// \param columns its width as it is now, none where it is no terminal; asked before each drawing
  Terminal(std::ostream& out, std::function<std::optional<int>()> columns)
      : out_(&out), columns_(std::move(columns)) {}

  std::optional<int> columns() const { return columns_ ? columns_() : std::nullopt; }
  std::ostream& out() const { return *out_; }

private:
  static std::optional<int> columns_of(int descriptor) {
    const char* kind = std::getenv("TERM");
    if (!kind || std::string_view(kind) == "dumb" || !::isatty(descriptor)) return std::nullopt;
    winsize size{};
    const bool told = ::ioctl(descriptor, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
    return told ? size.ws_col : 80;
  }

  std::ostream* out_;
  std::function<std::optional<int>()> columns_;
};

/// A line that is drawn again and again in one place of a terminal; where there is none each drawing is a
/// line of its own. Several may be open, one begun while another is: the last is on the screen, and when it
/// ends the one before it is there again.
///
/// After each drawing the cursor stands in front of the line. So a terminal that is made narrower, which
/// breaks the line in two, doesn't part them, and what others write meanwhile begins there.
class LiveLine {
public:
  LiveLine(const LiveLine&) = delete;
  LiveLine& operator=(const LiveLine&) = delete;

  /// Writes whole lines of text above what is on the screen. Lines that are over end first.
  static void print_above(std::ostream& out, std::string_view text) {
    const std::lock_guard lock(mutex_);
    end_those_over();
    const LiveLine* shown = on_screen();
    if (shown && &shown->terminal_.out() != &out && !Terminal(out).columns()) shown = nullptr;
    if (shown) shown->terminal_.out() << erase;
    if (shown && &shown->terminal_.out() != &out) shown->terminal_.out() << std::flush;
    out << text << std::flush;
    if (shown) shown->show();
  }

  /// The columns that a text takes, where no character is wide.
  static int columns_of(std::string_view text) {
    return static_cast<int>(std::count_if(text.begin(), text.end(), begins_character));
  }

protected:
  explicit LiveLine(Terminal terminal) : terminal_(std::move(terminal)) {}
  ~LiveLine() {
    const std::lock_guard lock(mutex_);
    std::erase(open_, this);
  }

  const Terminal& terminal() const { return terminal_; }
  bool is_open() const { return open_here_; }
  bool is_live() const { return live_; }

  void open() {
    const std::lock_guard lock(mutex_);
    end_those_over();
    live_ = terminal_.columns().has_value();
    open_here_ = true;
    thread_ = std::this_thread::get_id();
    text_.clear();
    open_.push_back(this);
  }

  /// Shows this in place of what the line was.
  void draw(std::string_view text) {
    const std::lock_guard lock(mutex_);
    end_those_over(this);
    std::erase(open_, this);
    open_.push_back(this);
    text_ = text;
    show();
  }

  /// Ends the line: this stays of it, or nothing.
  void end(std::optional<std::string_view> last) {
    const std::lock_guard lock(mutex_);
    std::erase(open_, this);
    open_here_ = false;
    std::string text = live_ ? erase : "";
    if (last) text.append(live_ ? fitting(*last) : *last).append("\n");
    if (!text.empty()) terminal_.out() << text << std::flush;
    if (const LiveLine* before = live_ ? on_screen() : nullptr) before->show();
  }

private:
  static constexpr const char* erase = "\x1b[J";  // to the end of the screen
  static bool begins_character(char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }  // UTF-8

  /// Whether nothing will be drawn in it any more.
  virtual bool is_over() const = 0;
  /// Must call `end`.
  virtual void finish() = 0;

  // Only a line's own thread may ask whether it is over.
  static LiveLine* last_of_thread() {
    const auto found = std::find_if(open_.rbegin(), open_.rend(), [](const LiveLine* line) {
      return line->thread_ == std::this_thread::get_id();
    });
    return found == open_.rend() ? nullptr : *found;
  }
  static const LiveLine* on_screen() {
    const auto found = std::find_if(open_.rbegin(), open_.rend(),
                                    [](const LiveLine* line) { return line->live_ && !line->text_.empty(); });
    return found == open_.rend() ? nullptr : *found;
  }
  // Up to one that is not over, or this one.
  static void end_those_over(const LiveLine* up_to = nullptr) {
    for (LiveLine* last = last_of_thread(); last && last != up_to && last->is_over(); last = last_of_thread())
      last->finish();
  }

  void show() const {
    if (live_) terminal_.out() << erase + fitting(text_) + "\r" << std::flush;
    else terminal_.out() << text_ + "\n" << std::flush;
  }
  // The last column stays free: some terminals break the line there.
  std::string fitting(std::string_view text) const {
    const int columns = terminal_.columns().value_or(80) - 1;
    std::string cut;
    int used = 0;
    for (const char c : text) {
      if (begins_character(c) && ++used > columns) break;
      cut += static_cast<unsigned char>(c) < ' ' ? ' ' : c;
    }
    return cut;
  }

  static inline std::recursive_mutex mutex_;
  static inline std::vector<LiveLine*> open_;  // of the process; the last is on the screen
  Terminal terminal_;
  std::string text_;
  std::thread::id thread_;
  bool open_here_ = false, live_ = false;
};

}  // namespace abyme
