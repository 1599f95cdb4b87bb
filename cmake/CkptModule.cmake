# ckpt_module(plan SOURCES a.cc PUBLIC ckpt::base PRIVATE fmt::fmt) -> ckpt_plan, ckpt::plan.
# One target a folder; warnings are errors for our own code only (dependencies come in as SYSTEM).
add_library(ckpt_flags INTERFACE)
target_include_directories(ckpt_flags INTERFACE ${PROJECT_SOURCE_DIR}/src)
target_compile_options(ckpt_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror
  -ffp-contract=off -fno-math-errno
  -fdebug-prefix-map=${PROJECT_SOURCE_DIR}=. -fmacro-prefix-map=${PROJECT_SOURCE_DIR}/=)
target_compile_definitions(ckpt_flags INTERFACE _GLIBCXX_ASSERTIONS)

function(ckpt_module name)
  cmake_parse_arguments(ARG "" "" "SOURCES;PUBLIC;PRIVATE" ${ARGN})
  string(REPLACE "/" "_" target ${name})
  if(ARG_SOURCES)
    add_library(ckpt_${target} STATIC ${ARG_SOURCES})
    target_link_libraries(ckpt_${target} PUBLIC ${ARG_PUBLIC} PRIVATE ckpt_flags ${ARG_PRIVATE})
    target_include_directories(ckpt_${target} PUBLIC ${PROJECT_SOURCE_DIR}/src)
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
  add_executable(${target}_test ${ARG_SOURCES})
  target_link_libraries(${target}_test PRIVATE ckpt_flags ${ARG_LIBS} GTest::gtest GTest::gmock GTest::gtest_main)
  target_include_directories(${target}_test PRIVATE ${PROJECT_SOURCE_DIR})
  # Where a clone lies is told to those files alone that look for data: one compiler cache serves the others in all clones.
  foreach(source ${ARG_SOURCES})
    file(STRINGS ${source} uses_data REGEX CKPT_TEST_DATA LIMIT_COUNT 1)
    if(uses_data)
      set_source_files_properties(${source} PROPERTIES COMPILE_DEFINITIONS "CKPT_TEST_DATA=\"${PROJECT_SOURCE_DIR}/tests\"")
    endif()
  endforeach()
  gtest_discover_tests(${target}_test TEST_PREFIX "${name}: " DISCOVERY_MODE PRE_TEST
    PROPERTIES LABELS ${label} TIMEOUT 600)
endfunction()
