# The target abyme::dependencies: what every user of abyme compiles and links with. One file for the source
# tree and for the installed package, so that both agree. Expects Torch and nlohmann_json to have been found.

# LibTorch may carry its own headers of fmt, in front of the system's. Two versions of fmt in one program
# merge silently, so wherever these are, everything uses them and no package of fmt is looked for.
find_path(abyme_fmt fmt/format.h PATHS ${TORCH_INCLUDE_DIRS} NO_DEFAULT_PATH NO_CACHE)
if(NOT abyme_fmt AND CMAKE_FIND_PACKAGE_NAME)
  find_dependency(fmt)
elseif(NOT abyme_fmt)
  find_package(fmt REQUIRED)
endif()

# Optional: with zlib the readers of data take gzip files as well.
find_package(ZLIB QUIET)

if(NOT TARGET abyme::dependencies)
  add_library(abyme::dependencies INTERFACE IMPORTED)
  if(CMAKE_FIND_PACKAGE_TARGETS_GLOBAL)
    set_target_properties(abyme::dependencies PROPERTIES IMPORTED_GLOBAL ON)
  endif()
  separate_arguments(abyme_flags NATIVE_COMMAND "${TORCH_CXX_FLAGS}")
  target_compile_options(abyme::dependencies INTERFACE ${abyme_flags})
  target_link_libraries(abyme::dependencies INTERFACE ${TORCH_LIBRARIES} nlohmann_json::nlohmann_json)
  if(abyme_fmt)
    target_compile_definitions(abyme::dependencies INTERFACE FMT_HEADER_ONLY=1)
  else()
    target_link_libraries(abyme::dependencies INTERFACE fmt::fmt-header-only)
  endif()
  if(TARGET ZLIB::ZLIB)
    target_compile_definitions(abyme::dependencies INTERFACE ABYME_HAS_ZLIB=1)
    target_link_libraries(abyme::dependencies INTERFACE ZLIB::ZLIB)
  endif()
endif()
