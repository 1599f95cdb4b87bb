#pragma once

#include <cstdio>
#include <cstdlib>

/// A promise of a decoder; ends the run with the input kept. Not CKPT_CHECK: that leaves by _Exit,
/// unseen by libFuzzer.
#define FUZZ_EXPECT(...)                                                     \
  do {                                                                       \
    if (!(__VA_ARGS__)) {                                                    \
      std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #__VA_ARGS__); \
      std::abort();                                                          \
    }                                                                        \
  } while (false)
