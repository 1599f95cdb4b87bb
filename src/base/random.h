#pragma once

#include <cstdint>

namespace ckpt {

/// Bits that nobody foresees, of the kernel; for names that must not meet and for pauses, never for
/// an output's bytes. Not std::random_device: its constructor asks the processor what it can, which
/// a virtual machine answers in tens of microseconds.
uint64_t RandomBits();

}  // namespace ckpt
