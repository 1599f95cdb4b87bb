#pragma once

#include <cstddef>
#include <cstring>

namespace ckpt {

/// Loads and stores of single values at any address; a dereferenced pointer would have to be
/// aligned.
template <class T>
T LoadUnaligned(const void* p) {
  T value;
  std::memcpy(&value, p, sizeof(T));
  return value;
}
template <class T>
void StoreUnaligned(T value, void* p) {
  std::memcpy(p, &value, sizeof(T));
}

}  // namespace ckpt
