# What only our own tests, examples and benchmarks are built with; none of it reaches a user of abyme.

# Warnings. They become errors where CMAKE_COMPILE_WARNING_AS_ERROR is on, as in the presets for contributors:
# a compiler newer than ours must not keep anybody from building the example. GCC's whole -Wshadow would
# forbid a constructor `Node(Options options) : options(options)`; GCC 12 sees std::string overlap itself, and with
# its sanitizers variables of LibTorch uninitialised, where neither is so.
add_library(abyme_warnings INTERFACE)
target_compile_options(abyme_warnings INTERFACE
  -Wall -Wextra -Wpedantic -Wconversion -Wnon-virtual-dtor -Woverloaded-virtual -Wcast-qual
  $<IF:$<CXX_COMPILER_ID:GNU>,-Wshadow=local;-Wno-restrict;-Wno-error=maybe-uninitialized,-Wshadow>)

# <torch/torch.h> costs half a minute a file, so it is compiled once, and all that need it reuse the result:
#   target_link_libraries(NAME PRIVATE abyme::abyme abyme_warnings)
#   target_precompile_headers(NAME REUSE_FROM abyme_torch)
file(WRITE ${CMAKE_CURRENT_BINARY_DIR}/abyme_torch.cpp "")
add_library(abyme_torch STATIC ${CMAKE_CURRENT_BINARY_DIR}/abyme_torch.cpp)
target_link_libraries(abyme_torch PRIVATE abyme::abyme abyme_warnings)
target_precompile_headers(abyme_torch PRIVATE <torch/torch.h>)

# The flags that a file using abyme is compiled with, for the tests that call the compiler themselves.
file(GENERATE OUTPUT ${PROJECT_BINARY_DIR}/flags.rsp CONTENT
"-std=c++20
-I$<JOIN:$<TARGET_PROPERTY:INCLUDE_DIRECTORIES>,
-I>
-D$<JOIN:$<TARGET_PROPERTY:COMPILE_DEFINITIONS>,
-D>
" TARGET abyme_torch)
