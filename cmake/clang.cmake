# The toolchain of the preset clang: CI's version where it is there, else the machine's own.
find_program(ABYME_CLANG NAMES clang++-16 clang++ clang++-19 clang++-18 clang++-17 REQUIRED)
set(CMAKE_CXX_COMPILER ${ABYME_CLANG})
