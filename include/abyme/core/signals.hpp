#pragma once

#include <abyme/core/error.hpp>

#include <atomic>
#include <csignal>
#include <cstddef>
#include <string>
#include <vector>

#include <signal.h>

namespace abyme {

/// While it lives, these signals ask for attention in place of ending the program; a second one of them ends
/// it at once. The handlers before are put back. One at a time: a run inside another leaves the signals to
/// that.
class Signals {
public:
  Signals(const std::vector<int>& numbers, std::atomic<bool>& attention) {
    static_assert(std::atomic<bool>::is_always_lock_free && std::atomic<int>::is_always_lock_free);
    std::atomic<bool>* none = nullptr;
    if (numbers.empty() || !attention_.compare_exchange_strong(none, &attention)) return;
    is_watching_ = true;
    caught_ = 0;
    is_taken_ = true;
    struct sigaction action {};
    action.sa_handler = &Signals::handle;
    sigemptyset(&action.sa_mask);
    action.sa_flags = SA_RESTART;
    for (const int number : numbers) {
      struct sigaction before {};
      if (::sigaction(number, &action, &before) == 0) before_.push_back({number, before});
    }
  }
  ~Signals() {
    if (!is_watching_) return;
    for (const auto& [number, action] : before_) ::sigaction(number, &action, nullptr);
    attention_ = nullptr;
  }
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;

  /// The signal that came and was not taken yet, or 0; always 0 where signals are another run's.
  int take() const { return !is_watching_ || is_taken_.exchange(true) ? 0 : caught_.load(); }

  static std::string name(int number) {
    switch (number) {
    case SIGINT: return "SIGINT";
    case SIGTERM: return "SIGTERM";
    case SIGHUP: return "SIGHUP";
    case SIGUSR1: return "SIGUSR1";
    case SIGUSR2: return "SIGUSR2";
    default: return std::to_string(number);
    }
  }

private:
  struct Before {
    int number;
    struct sigaction action;
  };

  static void handle(int number) {
    if (caught_.exchange(number) != 0) {  // the second
      ::signal(number, SIG_DFL);
      ::raise(number);
      return;
    }
    is_taken_ = false;
    if (std::atomic<bool>* attention = attention_) *attention = true;
  }

  static inline std::atomic<std::atomic<bool>*> attention_ = nullptr;  // of the run that watches
  static inline std::atomic<int> caught_ = 0;
  static inline std::atomic<bool> is_taken_ = true;

  std::vector<Before> before_;
  bool is_watching_ = false;
};

}  // namespace abyme
