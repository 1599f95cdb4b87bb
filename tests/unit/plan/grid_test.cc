#include "plan/grid.h"

#include <gtest/gtest.h>

namespace ckpt {
namespace {

using Extents = std::vector<uint64_t>;

constexpr uint64_t kE = 16384, kL = 126, kH = 128, kK = 8, kD = 128, kF = 53248, kV = 128256;
const Mesh kMesh = {{"e", 16}, {"h", 4}, {"f", 4}, {"v", 4}};

// The published table of Llama-3.1-405B, without a mesh and with 16 x 4 devices.
TEST(ChunkGrid, EqualsTheReferenceFor405B) {
  struct Case {
    std::vector<Axis> axes;
    std::vector<std::string> hf;
    Extents plain;
    Extents mesh;
  };
  const std::vector<Case> cases = {
      {{{"v", kV}, {"e", kE}}, {"v", "e"}, {501, 4096}, {501, 2048}},
      {{{"e", kE}, {"v", kV}}, {"v", "e"}, {4096, 501}, {2048, 501}},
      {{{"e", kE}, {"l", kL}, {"h", kH}, {"d", kD}},
       {"h", "d", "e"},
       {4096, 1, 4, 128},
       {1024, 1, 4, 128}},
      {{{"e", kE}, {"l", kL}, {"h", kK}, {"d", kD}},
       {"h", "d", "e"},
       {4096, 1, 4, 128},
       {2048, 1, 2, 128}},
      {{{"h", kH}, {"l", kL}, {"d", kD}, {"e", kE}},
       {"e", "h", "d"},
       {32, 1, 128, 512},
       {32, 1, 128, 512}},
      {{{"e", kE}, {"l", kL}, {"f", kF}}, {"f", "e"}, {4096, 1, 512}, {1024, 1, 512}},
      {{{"f", kF}, {"l", kL}, {"e", kE}}, {"e", "f"}, {13312, 1, 128}, {13312, 1, 128}},
      {{{"e", kE}, {"l", kL}}, {"e"}, {16384, 1}, {16384, 1}},
  };
  for (const Case& c : cases) {
    EXPECT_EQ(ChunkGrid(c.axes, c.hf, {}), c.plain);
    EXPECT_EQ(ChunkGrid(c.axes, c.hf, kMesh), c.mesh);
  }
}

TEST(ChunkGrid, ASmallSliceIsOneChunkWhateverTheMesh) {
  const std::vector<Axis> axes = {{"v", 512}, {"e", 1023}};
  EXPECT_EQ(ChunkGrid(axes, std::vector<std::string>{"v", "e"}, {{"v", 4}}), (Extents{512, 1023}));
}

TEST(ChunkGrid, LayerAndExpertAxesAreOneWide) {
  const std::vector<Axis> axes = {{"x", 8}, {"l", 32}, {"e", 4096}, {"f", 14336}};
  const Extents grid = ChunkGrid(axes, std::vector<std::string>{"f", "e"}, {});
  EXPECT_EQ(grid[0], 1U);
  EXPECT_EQ(grid[1], 1U);
}

TEST(BandExtent, IsTheGridsExtentOfTheOutermostAxis) {
  EXPECT_EQ(BandExtent(std::vector<Axis>{{"f", 14336}, {"e", 4096}}), 2048U);
  EXPECT_EQ(BandExtent(std::vector<Axis>{{"v", 128256}, {"e", 4096}}), 2004U);
  EXPECT_EQ(BandExtent(std::vector<Axis>{{"h", 128}, {"p", 2}, {"t", 64}, {"e", 16384}}), 4U);
  EXPECT_EQ(BandExtent(std::vector<Axis>{{"e", 4096}}), 4096U);
}

}  // namespace
}  // namespace ckpt
