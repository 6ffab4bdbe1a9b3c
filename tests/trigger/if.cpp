#include <abyme/trigger/if.hpp>

#include <abyme/loop/iteration_looper.hpp>

#include "support/trace.hpp"

namespace ab = abyme;

namespace if_tests {

using tests::happened;
using tests::Trace;

TEST_CASE("children run where the condition holds, those of otherwise where it does not, read at each dig") {
  Trace trace;
  ab::IterationLooper loop(3);
  bool flag = true;
  ab::Ground ground;
  ground("dig", loop("iteration_start", ab::If(true)("dig", trace("constant"))("otherwise", trace("never")),
                     ab::If(false)("dig", trace("never")),
                     ab::If("counter")("dig", trace("field", "counter"))("otherwise", trace("field is 0")),
                     ab::If([](ab::IterationLooper::Node& node) { return node.counter == 1; })(
                         "dig", trace("callable")),
                     ab::If([&] { return flag = !flag; })("dig", trace("flag")),
                     ab::If(loop.get("fraction"))("otherwise", trace("look is 0"))));
  ground.dig();
  CHECK_THAT(trace, happened(R"(
    constant
      field is 0
      look is 0
    constant
      field 1
      callable
      flag
    constant
      field 2
  )"));
}

TEST_CASE("a condition that is nothing is an error, not false") {
  ab::IterationLooper idle(1);
  ab::Ground ground;
  ground("dig", ab::If(idle.get("fraction"))("otherwise", [] {}));
  CHECK_THROWS_WITH(ground.dig(),
                    "If: IterationLooper.fraction must hold a bool when it is read, got nothing");
}

TEST_CASE("the condition is a field") {
  const ab::If trigger(true);
  CHECK(trigger.get("condition").as<bool>());
}

}  // namespace if_tests
