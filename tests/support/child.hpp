#pragma once

#include <stdexcept>
#include <string>
#include <utility>

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

namespace tests {

/// A fork of this process that runs a callable; what that hands to its argument, `tell(text)`, is read here.
/// Killed where it still lives at the end.
class Child {
public:
  template <class Do>
  explicit Child(Do act) {
    if (::pipe(pipe_) != 0) throw std::runtime_error("no pipe");
    process_ = ::fork();
    if (process_ < 0) throw std::runtime_error("no fork");
    if (process_ > 0) {
      ::close(pipe_[1]);
      return;
    }
    const auto tell = [this](std::string text) {
      text += '\0';
      if (::write(pipe_[1], text.data(), text.size()) < 0) ::_exit(1);
    };
    try {
      act(tell);
    } catch (const std::exception& error) {
      tell(error.what());
    }
    ::_exit(0);  // no test goes on here
  }
  ~Child() {
    kill();
    ::close(pipe_[0]);
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  /// The next text that it told, or an empty one where it has ended.
  std::string told() {
    std::string text;
    char c = 0;
    while (::read(pipe_[0], &c, 1) == 1 && c != '\0') text += c;
    return text;
  }
  /// Kills it, and waits until it is gone.
  void kill() {
    if (process_ <= 0) return;
    ::kill(process_, SIGKILL);
    ::waitpid(std::exchange(process_, 0), nullptr, 0);
  }
  pid_t process() const { return process_; }

private:
  int pipe_[2];
  pid_t process_;
};

}  // namespace tests
