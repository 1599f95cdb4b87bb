# How many files of a target the compiler takes at once. Together they compile several times faster, since headers and templates
# are met once; alone, one changed file is one compiled file, and each proves that it includes what it needs.
set(CKPT_TOGETHER 1 CACHE STRING "source files of a module that are compiled together")
set(CKPT_TESTS_TOGETHER 8 CACHE STRING "source files of a test program that are compiled together")

set(CKPT_TEST_OPTIONS -O1 CACHE STRING "options of the tests' own files, whose code is checked, not timed")

set(CKPT_HOT_OPTIONS "" CACHE STRING "options of kernels and decoders, where a build that is not optimized spends its time")

# ckpt_together(variable target size sources): the list with all but the files marked ALONE replaced by files that include them.
# CMake's own UNITY_BUILD names them by absolute paths, which would cost other clones the compiler cache.
function(ckpt_together variable target size)
  set(result "")
  set(group "")
  set(number 0)
  list(LENGTH ARGN left)
  foreach(source ${ARGN})
    math(EXPR left "${left} - 1")
    get_source_file_property(is_alone ${source} CKPT_ALONE)
    if(is_alone OR size LESS 2 OR IS_ABSOLUTE ${source})
      list(APPEND result ${source})
    else()
      list(APPEND group ${source})
    endif()
    list(LENGTH group length)
    if(length EQUAL size OR (left EQUAL 0 AND length GREATER 0))
      set(text "")
      foreach(member ${group})
        file(RELATIVE_PATH path ${PROJECT_SOURCE_DIR} ${CMAKE_CURRENT_SOURCE_DIR}/${member})
        string(APPEND text "#include \"${path}\"\n")
      endforeach()
      set(file ${CMAKE_CURRENT_BINARY_DIR}/together/${target}_${number}.cc)
      file(CONFIGURE OUTPUT ${file} CONTENT "${text}" @ONLY)
      list(APPEND result ${file})
      math(EXPR number "${number} + 1")
      set(group "")
    endif()
  endforeach()
  set(${variable} ${result} PARENT_SCOPE)
endfunction()

# Files that have names of their own kind in common with a neighbour, or that Highway compiles once for each target.
function(ckpt_alone)
  set_source_files_properties(${ARGN} PROPERTIES CKPT_ALONE ON)
endfunction()

# Files of a module that is not hot as a whole, whose loops pass over every element.
function(ckpt_hot)
  ckpt_alone(${ARGN})
  set_source_files_properties(${ARGN} PROPERTIES COMPILE_OPTIONS "${CKPT_HOT_OPTIONS}")
endfunction()

# ckpt_module(plan SOURCES a.cc PUBLIC ckpt::base PRIVATE fmt::fmt) -> ckpt_plan, ckpt::plan.
# One target a folder; warnings are errors for our own code only (dependencies come in as SYSTEM).
add_library(ckpt_flags INTERFACE)
target_include_directories(ckpt_flags INTERFACE ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR})
target_compile_options(ckpt_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror
  -ffp-contract=off -fno-math-errno
  -fdebug-prefix-map=${PROJECT_SOURCE_DIR}=. -fmacro-prefix-map=${PROJECT_SOURCE_DIR}/=)
target_compile_definitions(ckpt_flags INTERFACE _GLIBCXX_ASSERTIONS)
if(CMAKE_CXX_FLAGS MATCHES "-fsanitize=")
  target_compile_definitions(ckpt_flags INTERFACE CKPT_SANITIZED)  # limits of CPU time know it
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL Clang AND CKPT_TOGETHER GREATER 1)
  target_compile_options(ckpt_flags INTERFACE -Wno-shadow)  # it sees a neighbour's aliases as shadowed
endif()

function(ckpt_module name)
  cmake_parse_arguments(ARG "" "" "SOURCES;PUBLIC;PRIVATE" ${ARGN})
  string(REPLACE "/" "_" target ${name})
  if(ARG_SOURCES)
    ckpt_together(sources ${target} ${CKPT_TOGETHER} ${ARG_SOURCES})
    add_library(ckpt_${target} STATIC ${sources})
    target_link_libraries(ckpt_${target} PUBLIC ${ARG_PUBLIC} PRIVATE ckpt_flags ${ARG_PRIVATE})
    target_include_directories(ckpt_${target} PUBLIC ${PROJECT_SOURCE_DIR}/src)
    if(name MATCHES "^(kernel|format/)")
      target_compile_options(ckpt_${target} PRIVATE ${CKPT_HOT_OPTIONS})
    endif()
    # What fuzzers call tells them which way it took. In all other code that would cost a sixth of the tests' time for nothing.
    if(CKPT_FUZZ AND name MATCHES "^(base|format/|model|cli)")
      target_compile_options(ckpt_${target} PRIVATE -fsanitize=fuzzer-no-link)
    endif()
  else()
    add_library(ckpt_${target} INTERFACE)
    target_link_libraries(ckpt_${target} INTERFACE ${ARG_PUBLIC})
    target_include_directories(ckpt_${target} INTERFACE ${PROJECT_SOURCE_DIR}/src)
  endif()
  string(REPLACE "/" "::" alias ${name})
  add_library(ckpt::${alias} ALIAS ckpt_${target})
endfunction()

# ckpt_test(unit/base SOURCES a_test.cc LIBS ckpt::base): one program, found by ctest test by test;
# the label is the first folder of the name.
function(ckpt_test name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LIBS" ${ARGN})
  string(REPLACE "/" "_" target ${name})
  string(REGEX REPLACE "/.*" "" label ${name})
  ckpt_together(sources ${target} ${CKPT_TESTS_TOGETHER} ${ARG_SOURCES})
  add_executable(${target}_test ${sources})
  target_link_libraries(${target}_test PRIVATE ckpt_flags ${ARG_LIBS} GTest::gtest GTest::gmock GTest::gtest_main)
  target_compile_options(${target}_test PRIVATE ${CKPT_TEST_OPTIONS})
  gtest_discover_tests(${target}_test TEST_PREFIX "${name}: " DISCOVERY_MODE PRE_TEST
    WORKING_DIRECTORY ${PROJECT_SOURCE_DIR} PROPERTIES LABELS ${label} TIMEOUT 600)
endfunction()
