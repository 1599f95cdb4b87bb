// Speed of the kernels beside memcpy: every repetition runs the kernel and a memcpy that moves the
// same bytes (input plus output, half of it each way), and the counters compare the best of each.
//   in_GB/s  source bytes per second, best repetition
//   ratio    best memcpy time / best kernel time
// Time is the thread's CPU time: on a shared machine wall time says nothing about a kernel.
//   kernel_bench                         for the CPU's best vector unit
//   kernel_bench --target=AVX2           for another one
#include <benchmark/benchmark.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <limits>
#include <random>
#include <string_view>
#include <vector>

#include "base/float.h"
#include "hwy/targets.h"
#include "kernel/compressed.h"
#include "kernel/convert.h"
#include "kernel/quantize.h"
#include "kernel/scaled_float.h"
#include "kernel/transpose.h"

namespace ckpt {
namespace {

double ThreadSeconds() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

/// Memory as the program's buffers have it: huge pages asked for, touched before any clock runs.
class Memory {
 public:
  explicit Memory(size_t bytes) : bytes_(bytes + kAlignment) {
    void* p = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) std::abort();
    base_ = static_cast<std::byte*>(p);
    const size_t offset = kAlignment - reinterpret_cast<uintptr_t>(base_) % kAlignment;
    data_ = base_ + offset;
    madvise(data_, bytes, MADV_HUGEPAGE);
    std::memset(data_, 1, bytes);
  }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  ~Memory() { munmap(base_, bytes_); }
  std::byte* data() { return data_; }

 private:
  static constexpr size_t kAlignment = size_t{2} << 20;
  size_t bytes_;
  std::byte* base_;
  std::byte* data_;
};

/// N(0, 0.02) as bf16, like weights.
void FillWeights(std::byte* p, size_t n) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal(0.0F, 0.02F);
  std::vector<BF16> sample(1 << 16);
  for (BF16& x : sample) x = ToBF16(normal(random));
  for (size_t i = 0; i < n; i += sample.size())
    std::memcpy(p + i * sizeof(BF16), sample.data(), std::min(n - i, sample.size()) * sizeof(BF16));
}

template <class Kernel>
void Measure(benchmark::State& state, size_t in_bytes, size_t out_bytes, const Kernel& kernel) {
  const size_t copied = (in_bytes + out_bytes) / 2;
  Memory from(copied);
  Memory to(copied);
  // Small kernels several times between two looks at the clock, which is too coarse for one.
  const size_t repeats = 1 + (size_t{16} << 20) / (in_bytes + out_bytes);
  double best_kernel = std::numeric_limits<double>::max();
  double best_copy = best_kernel;
  for (auto _ : state) {
    const double start = ThreadSeconds();
    for (size_t i = 0; i < repeats; ++i) {
      kernel();
      benchmark::ClobberMemory();
    }
    const double middle = ThreadSeconds();
    for (size_t i = 0; i < repeats; ++i) {
      std::memcpy(to.data(), from.data(), copied);
      benchmark::ClobberMemory();
    }
    const double end = ThreadSeconds();
    best_kernel = std::min(best_kernel, middle - start);
    best_copy = std::min(best_copy, end - middle);
    state.SetIterationTime(middle - start);
  }
  state.counters["in_GB/s"] = static_cast<double>(in_bytes * repeats) / best_kernel * 1e-9;
  state.counters["ratio"] = best_copy / best_kernel;
}

std::vector<const std::byte*> Rows(const std::byte* base, size_t n_rows, size_t row_bytes) {
  std::vector<const std::byte*> rows(n_rows);
  for (size_t r = 0; r < n_rows; ++r) rows[r] = base + r * row_bytes;
  return rows;
}

// ---- transposes: args rows, columns, element bytes

void Transpose(benchmark::State& state) {
  const auto n_rows = static_cast<size_t>(state.range(0));
  const auto n_columns = static_cast<size_t>(state.range(1));
  const auto element = static_cast<uint32_t>(state.range(2));
  const size_t bytes = n_rows * n_columns * element;
  Memory src(bytes);
  Memory dst(bytes);
  const auto rows = Rows(src.data(), n_rows, n_columns * element);
  Measure(state, bytes, bytes, [&] {
    TransposeRows(rows.data(), n_rows, n_columns, element, dst.data(), n_rows * element);
  });
}
BENCHMARK(Transpose)
    ->Args({4096, 14336, 2})
    ->Args({8192, 28672, 2})
    ->Args({128, 14336, 2})
    ->Args({512, 512, 2})
    ->Args({8192, 14336, 1})
    ->Args({4096, 7168, 4})
    ->UseManualTime();

void TransposeConvert(benchmark::State& state) {
  const auto from = static_cast<DType>(state.range(0));
  constexpr size_t n_rows = 4096;
  constexpr size_t n_columns = 14336;
  const size_t row_bytes = n_columns / Info(from).block_elements * Info(from).block_bytes;
  Memory src(n_rows * row_bytes);
  Memory dst(n_rows * n_columns * sizeof(BF16));
  FillWeights(src.data(), n_rows * row_bytes / sizeof(BF16));
  const auto rows = Rows(src.data(), n_rows, row_bytes);
  state.SetLabel(std::string(Name(from)) + " -> BF16");
  Measure(state, n_rows * row_bytes, n_rows * n_columns * sizeof(BF16), [&] {
    TransposeRowsConvert(rows.data(), n_rows, n_columns, from, DType::kBF16, dst.data(),
                         n_rows * sizeof(BF16));
  });
}
BENCHMARK(TransposeConvert)
    ->Arg(static_cast<int>(DType::kF32))
    ->Arg(static_cast<int>(DType::kF16))
    ->Arg(static_cast<int>(DType::kQ8_0))
    ->UseManualTime();

// ---- conversions: args from, to, thousands of elements (96: in cache)

void Convert(benchmark::State& state) {
  const auto from = static_cast<DType>(state.range(0));
  const auto to = static_cast<DType>(state.range(1));
  const size_t n = static_cast<size_t>(state.range(2)) * 1024;
  const size_t in_bytes = n / Info(from).block_elements * Info(from).block_bytes;
  Memory src(in_bytes);
  Memory dst(n * ElementBytes(to));
  FillWeights(src.data(), in_bytes / sizeof(BF16));
  const ConvertFn convert = FindConvert(from, to);
  state.SetLabel(std::string(Name(from)) + " -> " + std::string(Name(to)));
  Measure(state, in_bytes, n * ElementBytes(to), [&] { convert(src.data(), dst.data(), n); });
}
void AllConversions(benchmark::internal::Benchmark* bench) {
  for (const DType to : {DType::kBF16, DType::kF32}) {
    for (const DType from :
         {DType::kF64, DType::kF32, DType::kF16, DType::kBF16, DType::kF8E4M3, DType::kF8E5M2,
          DType::kQ8_0, DType::kQ4_0, DType::kQ4_1, DType::kQ6_K}) {
      bench->Args({static_cast<int>(from), static_cast<int>(to), 96});
      bench->Args({static_cast<int>(from), static_cast<int>(to), 32768});
    }
  }
}
BENCHMARK(Convert)->Apply(AllConversions)->UseManualTime();

// ---- quantization: args rows, columns, bits. 8 rows of 14336 stay in cache.

struct QuantizeInput {
  QuantizeInput(size_t n_rows, size_t n_columns)
      : w(n_rows * n_columns * sizeof(BF16)),
        q(n_rows * n_columns),
        rows(n_rows),
        scales(n_rows * (n_columns / kQuantBlock + 1)),
        in_bytes(n_rows * n_columns * sizeof(BF16)) {
    FillWeights(w.data(), n_rows * n_columns);
    for (size_t r = 0; r < n_rows; ++r)
      rows[r] = reinterpret_cast<const BF16*>(w.data()) + r * n_columns;
  }
  int8_t* out() { return reinterpret_cast<int8_t*>(q.data()); }
  Memory w;
  Memory q;
  std::vector<const BF16*> rows;
  std::vector<BF16> scales;
  size_t in_bytes;
};

void QuantizePerChannel(benchmark::State& state) {
  const auto n_rows = static_cast<size_t>(state.range(0));
  const auto n_columns = static_cast<size_t>(state.range(1));
  const auto bits = static_cast<int>(state.range(2));
  QuantizeInput in(n_rows, n_columns);
  Measure(state, in.in_bytes, in.in_bytes / 2, [&] {
    for (size_t r = 0; r < n_rows; ++r) {
      const QuantScale scale = ScaleOf(AbsMaxBF16(in.rows[r], n_columns), bits);
      in.scales[r] = scale.scale;
      QuantizeRowBF16(in.rows[r], n_columns, scale.reciprocal, bits, in.out() + r * n_columns);
    }
  });
}
BENCHMARK(QuantizePerChannel)
    ->Args({8, 14336, 8})
    ->Args({8, 14336, 4})
    ->Args({4096, 14336, 8})
    ->Args({4096, 14336, 4})
    ->UseManualTime();

void QuantizeBlockwise(benchmark::State& state) {
  const auto n_rows = static_cast<size_t>(state.range(0));
  const auto n_columns = static_cast<size_t>(state.range(1));
  const auto bits = static_cast<int>(state.range(2));
  QuantizeInput in(n_rows, n_columns);
  Measure(state, in.in_bytes, in.in_bytes / 2, [&] {
    QuantizeBlocksBF16(in.rows.data(), n_rows, n_columns / kQuantBlock, bits,
                       reinterpret_cast<std::byte*>(in.out()), n_rows, in.scales.data(), n_rows);
  });
}
BENCHMARK(QuantizeBlockwise)
    ->Args({64, 1024, 8})
    ->Args({4096, 14336, 8})
    ->Args({4096, 14336, 4})
    ->UseManualTime();

void ColumnMaxima(benchmark::State& state) {
  QuantizeInput in(4096, 8192);
  std::vector<uint16_t> maxima(8192);
  Measure(state, in.in_bytes, 0, [&] {
    for (const BF16* row : in.rows) ColumnAbsMaxBF16(row, maxima.size(), maxima.data());
  });
}
BENCHMARK(ColumnMaxima)->UseManualTime();

void QuantizePerColumn(benchmark::State& state) {
  constexpr size_t columns = 8192;
  QuantizeInput in(4096, columns);
  const std::vector<BF16> reciprocals(columns, ScaleOf(ToBF16(0.1F).bits, 8).reciprocal);
  Measure(state, in.in_bytes, in.in_bytes / 2, [&] {
    for (size_t r = 0; r < in.rows.size(); ++r)
      QuantizeColumnsBF16(in.rows[r], reciprocals.data(), columns, in.out() + r * columns);
  });
}
BENCHMARK(QuantizePerColumn)->UseManualTime();

// ---- compressed-tensors: args rows, rows and columns of a group, bits (80: fp8), and what the
// form adds: 1 asymmetric, 2 rounded quotients. Integers are packed too, in place.

constexpr int64_t kFp8Bits = 80;

void Compress(benchmark::State& state) {
  const auto n_rows = static_cast<size_t>(state.range(0));
  const auto group_rows = static_cast<size_t>(state.range(1));
  const auto group_columns = static_cast<size_t>(state.range(2));
  const bool is_float = state.range(3) == kFp8Bits;
  const CodeForm form{.is_float = is_float,
                      .bits = is_float ? 8 : static_cast<int>(state.range(3)),
                      .is_symmetric = (state.range(4) & 1) == 0,
                      .is_quotient_rounded = (state.range(4) & 2) != 0};
  constexpr size_t columns = 14336;
  QuantizeInput in(n_rows, columns);
  auto* codes = reinterpret_cast<uint8_t*>(in.out());
  std::vector<BF16> scales(columns / group_columns);
  std::vector<int8_t> zeros(scales.size());
  Measure(state, in.in_bytes, in.in_bytes / 2, [&] {
    for (size_t r = 0; r < n_rows; r += group_rows) {
      uint8_t* row_codes = codes + r * columns;
      QuantizeGroupsBF16(in.rows.data() + r, group_rows, columns, group_columns, form,
                         scales.data(), zeros.data(), row_codes, columns);
      if (!form.is_float) PackCodes(row_codes, group_rows * columns, form.bits, row_codes);
    }
  });
}
BENCHMARK(Compress)
    ->ArgNames({"rows", "group_rows", "group_columns", "bits", "form"})
    ->Args({8, 1, 14336, 8, 0})
    ->Args({4096, 1, 14336, 8, 0})
    ->Args({4096, 1, 14336, 8, 2})
    ->Args({4096, 1, 14336, kFp8Bits, 0})
    ->Args({4096, 1, 14336, kFp8Bits, 2})
    ->Args({4096, 128, 128, kFp8Bits, 0})
    ->Args({8, 1, 128, 4, 0})
    ->Args({4096, 1, 128, 4, 0})
    ->Args({4096, 1, 128, 4, 1})
    ->Args({4096, 1, 128, 4, 3})
    ->Args({4096, 1, 128, 8, 0})
    ->UseManualTime();

void Range(benchmark::State& state) {
  QuantizeInput in(static_cast<size_t>(state.range(0)), 14336);
  Measure(state, in.in_bytes, 0, [&] {
    for (const BF16* row : in.rows) benchmark::DoNotOptimize(RangeBF16(row, 14336));
  });
}
BENCHMARK(Range)->Arg(8)->Arg(4096)->UseManualTime();

/// Rows of blocks of 128 columns; args rows, element bytes of the output.
void Fp8Blocks(benchmark::State& state) {
  const auto n_rows = static_cast<size_t>(state.range(0));
  constexpr size_t columns = 7168;
  Memory q(n_rows * columns);
  Memory out(n_rows * columns * static_cast<size_t>(state.range(1)));
  std::mt19937 random(1);
  for (size_t i = 0; i < n_rows * columns; ++i)
    q.data()[i] = static_cast<std::byte>(random() % 127);
  const std::vector<float> scales(columns / 128, 1.7e-4F);
  Measure(state, n_rows * columns, n_rows * columns * static_cast<size_t>(state.range(1)), [&] {
    for (size_t r = 0; r < n_rows; ++r) {
      const auto* row = reinterpret_cast<const uint8_t*>(q.data()) + r * columns;
      std::byte* to = out.data() + r * columns * static_cast<size_t>(state.range(1));
      if (state.range(1) == 2) {
        DequantizeE4M3(row, columns, scales.data(), 128, reinterpret_cast<BF16*>(to));
      } else {
        DequantizeE4M3(row, columns, scales.data(), 128, reinterpret_cast<float*>(to));
      }
    }
  });
}
BENCHMARK(Fp8Blocks)->Args({8, 2})->Args({4096, 2})->Args({4096, 4})->UseManualTime();

void FindNan(benchmark::State& state) {
  Memory q(static_cast<size_t>(state.range(0)));
  const auto* codes = reinterpret_cast<const uint8_t*>(q.data());
  Measure(state, static_cast<size_t>(state.range(0)), 0, [&] {
    benchmark::DoNotOptimize(FindNanE4M3(codes, static_cast<size_t>(state.range(0))));
  });
}
BENCHMARK(FindNan)->Arg(1 << 16)->Arg(1 << 26)->UseManualTime();

/// Args thousands of blocks, element bytes of the output.
void Mxfp4(benchmark::State& state) {
  const auto n_blocks = static_cast<size_t>(state.range(0)) * 1024;
  const size_t out_bytes = n_blocks * kMxBlock * static_cast<size_t>(state.range(1));
  Memory blocks(n_blocks * 16);
  Memory out(out_bytes);
  FillWeights(blocks.data(), n_blocks * 8);
  const std::vector<uint8_t> scales(n_blocks, 120);
  const auto* from = reinterpret_cast<const uint8_t*>(blocks.data());
  Measure(state, n_blocks * 17, out_bytes, [&] {
    if (state.range(1) == 2) {
      DequantizeMxfp4(from, scales.data(), n_blocks, reinterpret_cast<BF16*>(out.data()));
    } else {
      DequantizeMxfp4(from, scales.data(), n_blocks, reinterpret_cast<float*>(out.data()));
    }
  });
}
BENCHMARK(Mxfp4)->Args({2, 2})->Args({2048, 2})->Args({2048, 4})->UseManualTime();

/// Takes --target=NAME out of the arguments. False: no such target here.
bool ChooseTarget(int& argc, char** argv) {
  constexpr std::string_view flag = "--target=";
  for (int i = 1; i < argc; ++i) {
    const std::string_view arg = argv[i];
    if (!arg.starts_with(flag)) continue;
    for (int64_t left = hwy::SupportedTargets(); left != 0; left &= left - 1) {
      const int64_t target = left & -left;
      if (hwy::TargetName(target) != arg.substr(flag.size())) continue;
      hwy::SetSupportedTargetsForTest(target);
      std::copy(argv + i + 1, argv + argc, argv + i);
      --argc;
      return true;
    }
    std::fprintf(stderr, "this CPU has no target %s\n", argv[i]);
    return false;
  }
  return true;
}

}  // namespace
}  // namespace ckpt

int main(int argc, char** argv) {
  if (!ckpt::ChooseTarget(argc, argv)) return 64;
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 64;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
