# codio_module(NAME [DEPENDS module…] [LINK target…])
#
# Declares the module in the current folder: folder = namespace = target. By file name:
#   x.cc x.h       the library codio_NAME (codio::NAME)
#   x_test.cc      the test program NAME_test; every TEST in it is a ctest test
#   x_bench.cc     the benchmark program NAME_bench, with CODIO_BENCH
#   main.cc        left to the folder's own CMakeLists.txt
# DEPENDS names modules of ours, LINK names third-party targets.
function(codio_module name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "DEPENDS;LINK")
  file(GLOB_RECURSE all CONFIGURE_DEPENDS *.cc)
  set(sources ${all})
  list(FILTER sources EXCLUDE REGEX "(_test|_bench|_fuzz|/main)\\.cc$")
  set(tests ${all})
  list(FILTER tests INCLUDE REGEX "_test\\.cc$")
  set(benches ${all})
  list(FILTER benches INCLUDE REGEX "_bench\\.cc$")

  if(NOT name MATCHES "^(common|content_id|transfer)$")
    add_compile_options(${CODIO_HOST_FLAGS})
  endif()
  add_library(codio_${name} STATIC ${sources})
  add_library(codio::${name} ALIAS codio_${name})
  target_include_directories(codio_${name} PUBLIC ${CMAKE_SOURCE_DIR}/src)
  list(TRANSFORM arg_DEPENDS PREPEND codio::)
  target_link_libraries(codio_${name} PUBLIC ${arg_DEPENDS} ${arg_LINK} PRIVATE codio_options)

  if(CODIO_TESTS AND tests)
    codio_test(${name}_test SOURCES ${tests} LINK codio::${name})
  endif()
  if(CODIO_BENCH AND benches)
    add_executable(${name}_bench ${benches})
    target_link_libraries(${name}_bench PRIVATE codio::${name} codio_options benchmark::benchmark_main)
  endif()
endfunction()

# codio_test(NAME SOURCES file… [LINK target…]): a GoogleTest program whose tests are ctest tests.
function(codio_test name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;LINK")
  add_executable(${name} ${arg_SOURCES})
  target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR})
  target_link_libraries(${name} PRIVATE ${arg_LINK} codio_options GTest::gmock GTest::gtest_main)
  target_compile_definitions(${name} PRIVATE
    CODIO_SOURCE_DIR="${CMAKE_SOURCE_DIR}"
    CODIO_FIXTURES_DIR="${CMAKE_SOURCE_DIR}/../shared/fixtures")
  gtest_discover_tests(${name} TEST_PREFIX ${name}. DISCOVERY_TIMEOUT 60 PROPERTIES TIMEOUT 300)
endfunction()

# Flags of our own code only; third-party headers come in as system headers.
add_library(codio_options INTERFACE)
target_compile_options(codio_options INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wnon-virtual-dtor -Werror)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # GCC 12 reports these falsely inside inlined library code.
  target_compile_options(codio_options INTERFACE
    -Wno-maybe-uninitialized -Wno-stringop-overflow -Wno-array-bounds -Wno-restrict
    -Wno-missing-field-initializers -Wno-sign-conversion)
else()
  target_compile_options(codio_options INTERFACE -Wno-missing-field-initializers -Wno-missing-designated-field-initializers -Wno-sign-conversion)
endif()
if(CODIO_SANITIZE)
  add_compile_options(-fsanitize=${CODIO_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${CODIO_SANITIZE})
endif()
