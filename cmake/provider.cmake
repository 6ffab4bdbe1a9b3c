# Lets the presets work on a machine with nothing but a compiler, CMake, Python and git: it answers the
# find_package calls of abyme's own build for the packages below. First comes what the machine has; what it
# has not is fetched into ABYME_DEPS once, for all build trees. Only CMakePresets.json switches this on, so a
# project that uses abyme never runs it.
#
# To give a package by hand, pass -DTorch_DIR=... (or nlohmann_json_DIR, Catch2_DIR, CLI11_DIR) or
# -DCMAKE_PREFIX_PATH=... to `cmake --preset NAME` once.

set(ABYME_TORCH_VERSION 2.13.0)  # what is fetched
set(ABYME_MINIMUM_Torch 2.13)    # what is taken from the machine unasked: nothing older is tested
if(CMAKE_HOST_APPLE)
  set(ABYME_TORCH_FILE libtorch-macos-arm64-${ABYME_TORCH_VERSION}.zip)
else()
  set(ABYME_TORCH_FILE libtorch-shared-with-deps-${ABYME_TORCH_VERSION}%2Bcpu.zip)
endif()
set(ABYME_TORCH_URL "https://download.pytorch.org/libtorch/cpu/${ABYME_TORCH_FILE}" CACHE STRING "LibTorch's official zip")
set(ABYME_TORCH_INDEX "https://download.pytorch.org/whl/cpu" CACHE STRING "pip index of the builds for CPUs only")
set(ABYME_RELEASES "https://github.com" CACHE STRING "Where the single headers are released")
set(ABYME_DEPS "${CMAKE_BINARY_DIR}/deps" CACHE PATH "Folder for what is fetched")
mark_as_advanced(ABYME_TORCH_URL ABYME_TORCH_INDEX ABYME_RELEASES ABYME_DEPS)

# LibTorch looks for a library of its own that no release contains, and warns; any name quiets it.
set(kineto_LIBRARY torch CACHE INTERNAL "")

macro(abyme_provide method package)
  if(COMMAND abyme_fetch_${package})
    set(abyme_arguments ${ABYME_MINIMUM_${package}} ${ARGN})
    list(REMOVE_ITEM abyme_arguments REQUIRED)
    if(NOT EXISTS "${${package}_DIR}")
      find_package(${package} ${abyme_arguments} BYPASS_PROVIDER QUIET)
    endif()
    if(NOT ${package}_FOUND AND NOT EXISTS "${${package}_DIR}")
      set(${package}_FOUND ON)  # or the fetch ends the configuring, and CMake need not search again
      cmake_language(CALL abyme_fetch_${package})
    endif()
    if(EXISTS "${${package}_DIR}")
      find_package(${package} ${ARGN} BYPASS_PROVIDER)
    endif()
  endif()
endmacro()
cmake_language(SET_DEPENDENCY_PROVIDER abyme_provide SUPPORTED_METHODS FIND_PACKAGE)

# Below, `found` becomes the folder of a package's config file, and `tried` collects why a way did not work.

set(tried "\n  - find_package: not on this machine, or not in a version that fits")
function(abyme_failed way reason)
  string(STRIP "${reason}" reason)
  string(REGEX REPLACE ".*\n" "" reason "${reason}")  # the last line of what a program said
  set(tried "${tried}\n  - ${way}: ${reason}" PARENT_SCOPE)
endfunction()

macro(abyme_take package)
  file(WRITE ${ABYME_DEPS}/${package}.dir "${found}")
  set(${package}_DIR ${found} CACHE PATH "" FORCE)
  return()
endmacro()

# What another build tree, or an earlier run in this one, has fetched.
macro(abyme_take_fetched package)
  file(LOCK ${ABYME_DEPS} DIRECTORY GUARD FUNCTION)
  if(EXISTS ${ABYME_DEPS}/${package}.dir)
    file(READ ${ABYME_DEPS}/${package}.dir found)
    if(EXISTS ${found})
      abyme_take(${package})
    endif()
  endif()
  set(found)
endmacro()

function(abyme_give_up package by_hand)
  message(FATAL_ERROR "abyme: no ${package}. Tried:${tried}\n${by_hand}, then run the command again.")
endfunction()

# One byte first, with a limit on the whole: of CMake's limits only that one covers a network that never answers.
function(abyme_download url file result)
  file(DOWNLOAD ${url} ${file} TIMEOUT 15 RANGE_START 0 RANGE_END 0 STATUS status)
  if(status MATCHES "^0")
    file(DOWNLOAD ${url} ${file} INACTIVITY_TIMEOUT 15 STATUS status)
  endif()
  list(POP_FRONT status code reason)
  if(NOT code EQUAL 0)
    file(REMOVE ${file})
  endif()
  set(${result} "${reason}" PARENT_SCOPE)
endfunction()

# Unpacks a package of Debian without root and without touching anything outside `to`.
function(abyme_debian package to result)
  find_program(apt_get apt-get NO_CACHE)
  find_program(dpkg dpkg NO_CACHE)
  if(NOT apt_get OR NOT dpkg)
    set(${result} "not a Debian machine" PARENT_SCOPE)
    return()
  endif()
  set(apt ${ABYME_DEPS}/apt)
  file(MAKE_DIRECTORY ${apt}/lists/partial ${apt}/cache/archives/partial)
  set(options -q -o Dir::State::lists=${apt}/lists -o Dir::Cache=${apt}/cache -o APT::Sandbox::User=
    -o Acquire::http::Timeout=15 -o Acquire::Retries=0)
  if(NOT EXISTS ${apt}/updated)
    execute_process(COMMAND ${apt_get} ${options} update OUTPUT_QUIET ERROR_QUIET)
    file(TOUCH ${apt}/updated)
  endif()
  execute_process(COMMAND ${apt_get} ${options} download ${package}
    WORKING_DIRECTORY ${apt} OUTPUT_QUIET ERROR_VARIABLE reason RESULT_VARIABLE code)
  if(code EQUAL 0)
    file(GLOB archive ${apt}/${package}_*.deb)
    execute_process(COMMAND ${dpkg} -x ${archive} ${to} ERROR_VARIABLE reason)
  else()
    file(REMOVE ${apt}/updated)
  endif()
  set(${result} "${reason}" PARENT_SCOPE)
endfunction()

# The packages that are headers only: the one header of their release, else Debian's package.
#   abyme_headers(PACKAGE TARGET HEADER  RELEASE VERSION SHA256  DEBIAN'S NAME)
function(abyme_headers package target header release version sha256 debian)
  abyme_take_fetched(${package})
  set(to ${ABYME_DEPS}/${package})
  set(include ${to}/include)
  get_filename_component(name ${release} NAME)

  message(STATUS "abyme: no ${package} on this machine; downloading ${name} of its release ${version}")
  abyme_download(${ABYME_RELEASES}/${release} ${to}/download reason)
  if(EXISTS ${to}/download)
    file(SHA256 ${to}/download sum)
    if(sum STREQUAL sha256)
      get_filename_component(folder ${include}/${header} DIRECTORY)
      file(MAKE_DIRECTORY ${folder})
      file(RENAME ${to}/download ${include}/${header})
    else()
      set(reason "wrong checksum: ${sum}")
    endif()
  endif()
  if(NOT EXISTS ${include}/${header})
    abyme_failed("${name} of the release ${version}" "${reason}")
    message(STATUS "abyme: that failed; unpacking Debian's package ${debian}")
    set(include ${to}/usr/include)
    abyme_debian(${debian} ${to} reason)
  endif()
  if(NOT EXISTS ${include}/${header})
    abyme_failed("Debian's package ${debian}" "${reason} (no ${header})")
    abyme_give_up(${package} "Install it, or pass its folder once to the configure preset \
(cmake --preset release -D${package}_DIR=FOLDER)")
  endif()

  set(found ${to})
  file(WRITE ${found}/${package}Config.cmake "
if(NOT TARGET ${target})
  add_library(${target} INTERFACE IMPORTED)
  target_include_directories(${target} INTERFACE ${include})
endif()
")
  include(CMakePackageConfigHelpers)
  write_basic_package_version_file(${found}/${package}ConfigVersion.cmake
    VERSION ${version} COMPATIBILITY SameMajorVersion ARCH_INDEPENDENT)
  abyme_take(${package})
endfunction()

function(abyme_fetch_nlohmann_json)
  abyme_headers(nlohmann_json nlohmann_json::nlohmann_json nlohmann/json.hpp
    nlohmann/json/releases/download/v3.11.3/json.hpp 3.11.3
    9bea4c8066ef4a1c206b2be5a36302f8926f7fdc6087af5d20b417d0cf103ea6 nlohmann-json3-dev)
endfunction()

function(abyme_fetch_Catch2)
  abyme_headers(Catch2 Catch2::Catch2 catch2/catch.hpp
    catchorg/Catch2/releases/download/v2.13.10/catch.hpp 2.13.10
    3725c0f0a75f376a5005dde31ead0feb8f7da7507644c201b814443de8355170 catch2)
endfunction()

function(abyme_fetch_CLI11)
  abyme_headers(CLI11 CLI11::CLI11 CLI/CLI.hpp
    CLIUtils/CLI11/releases/download/v2.3.2/CLI11.hpp 2.3.2
    ba83806399a66634ca8f8d292df031e5ed651315ceb9a6a09ba56f88d75f1797 libcli11-dev)
endfunction()

# Whether a Python package of LibTorch can be used; if so, sets `found`. A build for CUDA needs nvcc.
function(abyme_check_wheel way folder)
  file(STRINGS ${folder}/version.py version REGEX "^__version__")
  file(STRINGS ${folder}/version.py cuda REGEX "^cuda.*=.*[0-9]")
  string(REGEX REPLACE ".*'([0-9.]+).*" "\\1" version "${version}")
  find_program(nvcc nvcc PATHS /usr/local/cuda/bin NO_CACHE)
  if(version VERSION_LESS ABYME_MINIMUM_Torch)
    abyme_failed("${way}" "its torch ${version} is older than ${ABYME_MINIMUM_Torch}")
  elseif(cuda AND NOT nvcc)
    abyme_failed("${way}" "its torch is a build for CUDA, and there is no nvcc to use it with")
  elseif(NOT EXISTS ${folder}/share/cmake/Torch)
    abyme_failed("${way}" "its torch comes without share/cmake/Torch")
  else()
    set(found ${folder}/share/cmake/Torch PARENT_SCOPE)
  endif()
  set(tried "${tried}" PARENT_SCOPE)
endfunction()

macro(abyme_torch_of_python)
  execute_process(COMMAND ${python} -c "import importlib.util as u, os; s = u.find_spec('torch')
print(os.path.dirname(s.origin) if s and s.origin else '', end='')" OUTPUT_VARIABLE folder ERROR_QUIET)
  if(folder)
    abyme_check_wheel("the active Python" ${folder})
  else()
    abyme_failed("the active Python" "it has no torch")
  endif()
  if(found)
    message(STATUS "abyme: using the LibTorch of the active Python, ${folder}")
  endif()
endmacro()

macro(abyme_torch_zip)
  message(STATUS "abyme: no LibTorch on this machine; downloading the official zip (about 200 MB)")
  if("${CMAKE_HOST_SYSTEM_NAME} ${CMAKE_HOST_SYSTEM_PROCESSOR}" MATCHES "Linux.*x86_64|Darwin.*arm64")
    abyme_download(${ABYME_TORCH_URL} ${ABYME_DEPS}/libtorch.zip reason)
  else()
    set(reason "there is none for this machine")
  endif()
  if(EXISTS ${ABYME_DEPS}/libtorch.zip)
    file(ARCHIVE_EXTRACT INPUT ${ABYME_DEPS}/libtorch.zip DESTINATION ${ABYME_DEPS})
    file(REMOVE ${ABYME_DEPS}/libtorch.zip)
    set(found ${ABYME_DEPS}/libtorch/share/cmake/Torch)
  else()
    abyme_failed("the official zip" "${reason}")
  endif()
endmacro()

# By pip: that of a virtual environment, else the machine's own (Debian may lack venv), else Debian's (it may
# lack pip, too).
macro(abyme_torch_pip)
  message(STATUS "abyme: that failed; installing torch==${ABYME_TORCH_VERSION} by pip into the build tree")
  set(to ${ABYME_DEPS}/venv)
  file(REMOVE_RECURSE ${to})
  execute_process(COMMAND ${python} -m venv ${to} RESULT_VARIABLE no_venv OUTPUT_QUIET ERROR_QUIET)
  execute_process(COMMAND ${python} -m pip --version RESULT_VARIABLE no_pip OUTPUT_QUIET ERROR_QUIET)
  set(pip ${python} -m pip install --target ${to}/lib)
  if(NOT no_venv)
    set(pip ${to}/bin/python -m pip install)
  elseif(no_pip)
    message(STATUS "abyme: this Python has no pip; unpacking Debian's package python3-pip-whl")
    abyme_debian(python3-pip-whl ${ABYME_DEPS}/pip reason)
    file(GLOB wheel ${ABYME_DEPS}/pip/usr/share/python-wheels/pip-*.whl)
    set(pip ${CMAKE_COMMAND} -E env PYTHONPATH=${wheel} ${pip})
  endif()
  # LibTorch needs none of the Python packages that torch depends on. The index of builds for CPUs goes first:
  # the ordinary one holds a build for CUDA. Where it can't be reached, pip says so at once.
  list(APPEND pip --quiet --no-deps --disable-pip-version-check torch==${ABYME_TORCH_VERSION})
  execute_process(COMMAND ${pip} --index-url ${ABYME_TORCH_INDEX} --retries 0 --timeout 15
    RESULT_VARIABLE code OUTPUT_QUIET ERROR_QUIET)
  if(NOT code EQUAL 0)
    execute_process(COMMAND ${pip} RESULT_VARIABLE code OUTPUT_QUIET ERROR_VARIABLE reason)
  endif()
  file(GLOB folder ${to}/lib/torch ${to}/lib/python*/site-packages/torch)
  if(code EQUAL 0 AND folder)
    abyme_check_wheel(pip ${folder})
  else()
    abyme_failed(pip "${reason}")
  endif()
endmacro()

function(abyme_fetch_Torch)
  find_program(python NAMES python3 python NO_CACHE)
  abyme_torch_of_python()
  if(found)
    set(Torch_DIR ${found} CACHE PATH "" FORCE)
    return()
  endif()
  abyme_take_fetched(Torch)
  abyme_torch_zip()
  if(NOT found)
    abyme_torch_pip()
  endif()
  if(NOT found)
    abyme_give_up(LibTorch "Unpack LibTorch ${ABYME_TORCH_VERSION} from pytorch.org and pass its folder once to \
the configure preset (cmake --preset release -DCMAKE_PREFIX_PATH=FOLDER), or activate a Python with torch")
  endif()
  abyme_take(Torch)
endfunction()
