#include <algorithm>
#include <array>

#include "kernel/compressed.h"
#include "kernel/reference.h"
#include "tests/unit/kernel/compressed_forms.h"
#include "tests/unit/kernel/kernel_test.h"

namespace ckpt {
namespace {

class CompressedGroups : public KernelTest {};
CKPT_FOR_EACH_TARGET(CompressedGroups);

// A stripe of separate rows, and what QuantizeGroupsBF16 or its reference makes of it.
struct GroupStripe {
  GroupStripe(size_t n_rows, size_t columns, std::mt19937& random) : n_columns(columns) {
    for (size_t r = 0; r < n_rows; ++r) {
      const bool is_hard = r % 4 == 3;
      data.emplace_back(is_hard ? HardValues(columns, random) : TameValues(columns, random), r % 3);
    }
    for (const Shifted& row : data) rows.push_back(row.get());
  }
  struct Made {
    size_t n_groups;
    Guarded scales, zeros, codes;
  };
  template <class Kernel>
  Made Run(Kernel kernel, size_t group_columns, CodeForm form, size_t shift) const {
    const size_t n_groups = (n_columns + group_columns - 1) / group_columns;
    const size_t stride = n_columns + 5;
    Made made{0, Guarded(n_groups * sizeof(BF16), shift), Guarded(n_groups, shift),
              Guarded((rows.size() - 1) * stride + n_columns, shift)};
    made.n_groups =
        kernel(rows.data(), rows.size(), n_columns, group_columns, form,
               reinterpret_cast<BF16*>(made.scales.data()),
               form.is_symmetric ? nullptr : reinterpret_cast<int8_t*>(made.zeros.data()),
               reinterpret_cast<uint8_t*>(made.codes.data()), stride);
    return made;
  }
  void ExpectLikeReference(size_t group_columns, CodeForm form, size_t shift) const {
    const Made made = Run(QuantizeGroupsBF16, group_columns, form, shift);
    const Made expected = Run(reference::QuantizeGroupsBF16, group_columns, form, 0);
    EXPECT_EQ(made.n_groups, expected.n_groups);
    EXPECT_TRUE(made.scales.IsIntact() && made.zeros.IsIntact() && made.codes.IsIntact());
    if (made.n_groups * group_columns < n_columns) return;  // a scale that is not finite
    EXPECT_TRUE(made.scales == expected.scales && made.zeros == expected.zeros &&
                made.codes == expected.codes)
        << Describe(form) << ' ' << rows.size() << " x " << n_columns << " by " << group_columns;
  }

  size_t n_columns;
  std::vector<Shifted> data;
  std::vector<const BF16*> rows;
};

TEST_P(CompressedGroups, GroupsOfAnyShape) {
  std::mt19937 random(5);
  constexpr std::array<size_t, 3> row_counts = {1, 3, 130};
  constexpr std::array<size_t, 5> column_counts = {1, 127, 256, 250, 1100};
  for (const size_t n_rows : row_counts) {
    for (const size_t n_columns : column_counts) {
      const GroupStripe stripe(n_rows, n_columns, random);
      const std::vector<CodeForm> forms = AllForms();
      for (size_t i = 0; i < forms.size(); ++i) {
        if (n_rows > 3 && i % 3 != 0) continue;
        stripe.ExpectLikeReference(128, forms[i], i % 4);
        stripe.ExpectLikeReference(n_columns, forms[i], i % 3);
        stripe.ExpectLikeReference(32, forms[i], 0);  // 35 groups: more than go at once
      }
    }
  }
}

TEST_P(CompressedGroups, NoColumnsHaveNoGroups) {
  const std::vector<BF16> row(1);
  const BF16* data = row.data();
  EXPECT_EQ(QuantizeGroupsBF16(&data, 1, 0, 128, kInt8, nullptr, nullptr, nullptr, 0), 0U);
}

TEST_P(CompressedGroups, GroupsShowTheFirstThatIsNotFinite) {
  constexpr size_t columns = 32;
  std::vector<BF16> row(40 * columns, BF16{0x3f80});
  const BF16* data = row.data();
  std::vector<uint8_t> codes(row.size());
  std::array<BF16, 40> scales{};
  std::array<int8_t, 40> zeros{};
  for (const CodeForm form : {kInt8, kInt4Asymmetric, kFp8}) {
    const auto run = [&] {
      return QuantizeGroupsBF16(&data, 1, row.size(), columns, form, scales.data(), zeros.data(),
                                codes.data(), row.size());
    };
    EXPECT_EQ(run(), scales.size());
    for (size_t i = 0; i < row.size(); i += 7) {
      const BF16 kept = std::exchange(row[i], BF16{kBeyondFinite[i % kBeyondFinite.size()]});
      EXPECT_EQ(run(), i / columns);
      row[i] = kept;
    }
  }
}

TEST_P(CompressedGroups, GroupsShowTheFirstWhoseSpanIsAboveTheRange) {
  constexpr size_t columns = 128;
  std::vector<BF16> row(4 * columns, BF16{0x3f80});
  row[2 * columns + 3] = BF16{0xff61};
  row[2 * columns + 4] = BF16{0x7f61};
  row[3 * columns] = BF16{0x7f61};  // no trouble by itself
  const BF16* data = row.data();
  std::vector<uint8_t> codes(row.size());
  std::array<BF16, 4> scales{};
  std::array<int8_t, 4> zeros{};
  const auto run = [&](CodeForm form) {
    return QuantizeGroupsBF16(&data, 1, row.size(), columns, form, scales.data(), zeros.data(),
                              codes.data(), row.size());
  };
  EXPECT_EQ(run(kInt4Asymmetric), 2U);
  EXPECT_EQ(run(kInt4), 4U);
}

}  // namespace
}  // namespace ckpt
