#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ctime>

#include "format/pickle/state_dict.h"
#include "tests/sanitized.h"
#include "tests/unit/format/error_of.h"
#include "tests/unit/format/pickle_builder.h"

namespace ckpt::pickle {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr uint64_t kMemory = 16 << 20;

Result<StateDict> Decode(const std::string& pickle) {
  return DecodeStateDict(pickle, {.memory_bytes = kMemory});
}

void ExpectRefusal(const std::string& pickle, const std::string& words,
                   Code code = Code::kBadInput) {
  const auto dict = Decode(pickle);
  ASSERT_FALSE(dict) << words;
  EXPECT_EQ(dict.error().code, code) << ErrorText(dict);
  EXPECT_THAT(ErrorText(dict), HasSubstr(words));
  EXPECT_FALSE(dict.error().remedy.empty());
}

std::string Float(int64_t offset, const std::vector<int64_t>& size,
                  const std::vector<int64_t>& stride) {
  return TensorOp(FloatStorage("0", 16), offset, size, stride);
}

TEST(Pickle, ReadsAStateDictWithNamesShapesAndPlaces) {
  const auto dict =
      Decode(Pickle(Dict({{"a", Float(2, {2, 3}, {3, 1})}, {"b", Float(0, {4}, {4})}})));
  ASSERT_TRUE(dict) << ErrorText(dict);
  ASSERT_EQ(dict->storages.size(), 1U);
  EXPECT_EQ(dict->storages[0].key, "0");
  EXPECT_EQ(dict->storages[0].size_bytes, 64U);
  ASSERT_EQ(dict->tensors.size(), 2U);
  EXPECT_EQ(dict->tensors[0].name, "a");
  EXPECT_EQ(dict->tensors[0].dtype, DType::kF32);
  EXPECT_EQ(dict->tensors[0].shape, Shape({2, 3}));
  EXPECT_EQ(dict->tensors[0].offset_bytes, 8U);
  EXPECT_THAT(dict->tensors[0].byte_strides, ElementsAre(12U, 4U));
  EXPECT_THAT(dict->tensors[1].byte_strides, ElementsAre(16U));
}

TEST(Pickle, JoinsNamesOfDictsListsAndNumbers) {
  const std::string tensor = Float(0, {1}, {1});
  const std::string inner = "](" + tensor + "N" + tensor + "e";
  const auto dict = Decode(Pickle("}(" + Text("m") + Dict({{"x.y", tensor}}) + Int(-7) + inner +
                                  Text("lr") + Int(3) + "u"));
  ASSERT_TRUE(dict) << ErrorText(dict);
  std::vector<std::string> names;
  for (const auto& each : dict->tensors) names.push_back(each.name);
  EXPECT_THAT(names, ElementsAre("m.x.y", "-7.0", "-7.2"));
}

TEST(Pickle, ABareTensorHasTheEmptyName) {
  EXPECT_EQ(Decode(Pickle(Float(0, {1}, {1})))->tensors.at(0).name, "");
}

TEST(Pickle, RefusesANameThatStandsForTwoTensors) {
  const std::string tensor = Float(0, {1}, {1});
  ExpectRefusal(Pickle(Dict({{"a.b", tensor}, {"a", Dict({{"b", tensor}})}})), "two tensors");
}

TEST(Pickle, KnowsTheWholePairOfAGlobalOnly) {
  const std::vector<std::pair<std::string, std::string>> refused = {
      {"os", "system"},
      {"builtins", "eval"},
      {"torch", "FloatStorage.new"},
      {"torch._utils", "_rebuild_tensor_v"},
      {"torch._utils", "_rebuild_tensor_v22"},
      {"torc", "FloatStorage"},
      {"torch.cuda", "float32"},
      {"collections", ""}};
  for (const auto& [module, name] : refused) {
    ExpectRefusal(Pickle(GlobalOp(module, name) + ")R"),
                  fmt::format("refusing PICKLE global {}.{} at byte 2 of data.pkl", module, name));
    std::string stacked = "\x80\x04" + Text(module) + Text(name);
    stacked += "\x93)R.";
    ExpectRefusal(stacked, "refusing PICKLE global");
  }
}

TEST(Pickle, HasHintsForWhatIsOftenPickledByMistake) {
  ExpectRefusal(Pickle(GlobalOp("__main__", "X")), "save model.state_dict()");
  ExpectRefusal(Pickle(GlobalOp("model.net", "X")), "save model.state_dict()");
  ExpectRefusal(Pickle(GlobalOp("numpy.core.multiarray", "scalar")), "numpy values");
  ExpectRefusal(Pickle(GlobalOp("argparse", "Namespace")), "training arguments");
  ExpectRefusal(Pickle(GlobalOp("torch.distributed.tensor", "DTensor")),
                "a distributed checkpoint");
  ExpectRefusal(Pickle(GlobalOp("posix", "system")), "could run commands");
}

TEST(Pickle, ReadsWhatTorchWritesBesideTensors) {
  const std::string ordered = GlobalOp("collections", "OrderedDict") + ")R";
  const std::string tensor = Float(0, {2}, {1});
  // A state dict with _metadata by BUILD, a Size, a device, bytes, a set, frozen or not.
  const std::string size = GlobalOp("torch", "Size") + "(" + Ints({2}) + "tR";
  const std::string device = GlobalOp("torch", "device") + "(" + Text("cuda") + Int(0) + "tR";
  const std::string set = GlobalOp("__builtin__", "set") + "(](NetR";
  const auto dict =
      Decode("\x80\x05\x95" + std::string(8, '\0') + "}(" + Text("d") + ordered + "(" + Text("w") +
             tensor + "u}b" + Text("s") + size + Text("dev") + device + Text("set") + set +
             Text("f") + "(N\x91" + Text("e") + "\x8f(N\x90" + Text("x") + "C\x02hi" + Text("g") +
             "G" + std::string(8, '\0') + "u.");
  ASSERT_TRUE(dict) << ErrorText(dict);
  EXPECT_EQ(dict->tensors.at(0).name, "d.w");
}

TEST(Pickle, ReadsParametersAndSubclassesOfTensor) {
  const std::string tensor = Float(0, {2}, {1});
  const std::string parameter =
      GlobalOp("torch._utils", "_rebuild_parameter") + "(" + tensor + "\x88}tR";
  const std::string typed =
      GlobalOp("torch._tensor", "_rebuild_from_type_v2") + "(" +
      GlobalOp("torch._utils", "_rebuild_tensor_v2") + GlobalOp("torch.nn.parameter", "Parameter") +
      "(" + FloatStorage("0", 16) + Int(0) + Ints({2}) + Ints({1}) + "\x89}t" + "}tR";
  const auto dict = Decode(Pickle(Dict({{"p", parameter}, {"t", typed}})));
  ASSERT_TRUE(dict) << ErrorText(dict);
  EXPECT_EQ(dict->tensors.size(), 2U);
  const std::string other = GlobalOp("torch._tensor", "_rebuild_from_type_v2") + "(" +
                            GlobalOp("torch", "Size") + GlobalOp("torch", "Tensor") + ")}tR";
  ExpectRefusal(Pickle(other), "a tensor of a subclass");
}

TEST(Pickle, TakesTheTypeOfUntypedStoragesFromTheTensor) {
  const std::string storage = StorageOp(GlobalOp("torch.storage", "UntypedStorage"), "7", 48);
  const auto read = Decode(
      Pickle(TensorOp(storage, 1, {5}, {2}, GlobalOp("torch", "uint32"), "_rebuild_tensor_v3")));
  ASSERT_TRUE(read) << ErrorText(read);
  EXPECT_EQ(read->tensors[0].dtype, DType::kU32);
  EXPECT_EQ(read->tensors[0].offset_bytes, 4U);
  EXPECT_EQ(read->storages[0].size_bytes, 48U);
  ExpectRefusal(Pickle(TensorOp(storage, 0, {5}, {2})), "without the type");
  ExpectRefusal(
      Pickle(TensorOp(storage, 0, {2}, {1}, GlobalOp("torch", "complex128"), "_rebuild_tensor_v3")),
      "type complex128 are not read");
}

TEST(Pickle, KnowsLazyViews) {
  const auto with = [](const std::string& type, const std::string& metadata) {
    return Pickle(TensorOp(StorageOp(GlobalOp("torch", type), "0", 16), 0, {2}, {1}, metadata));
  };
  const std::string conj = "}" + Text("conj") + "\x88s";
  const std::string neg = "}" + Text("neg") + "\x88s";
  EXPECT_TRUE(Decode(with("ComplexFloatStorage", conj))->tensors[0].is_conjugated);
  EXPECT_FALSE(Decode(with("FloatStorage", conj))->tensors[0].is_conjugated)
      << "a real number is its own conjugate";
  EXPECT_TRUE(Decode(with("FloatStorage", neg))->tensors[0].is_negated);
  ExpectRefusal(with("IntStorage", neg), "lazily negated");
  ExpectRefusal(with("FloatStorage", "}" + Text("other") + "\x88s"), "metadata \"other\"");
}

TEST(Pickle, HoldsTensorsAgainstTheirStorage) {
  EXPECT_TRUE(Decode(Pickle(Float(0, {4, 4}, {4, 1}))));
  EXPECT_TRUE(Decode(Pickle(Float(12, {4, 100}, {1, 0})))) << "expanded";
  EXPECT_TRUE(Decode(Pickle(Float(99, {0, 5}, {7, 9})))) << "no elements, so none outside";
  EXPECT_TRUE(Decode(Pickle(Float(15, {}, {})))) << "a scalar";
  ExpectRefusal(Pickle(Float(1, {4, 4}, {4, 1})), "reaches beyond its storage 0 of 64 bytes");
  ExpectRefusal(Pickle(Float(16, {}, {})), "reaches beyond");
  ExpectRefusal(Pickle(Float(0, {2, 2}, {INT64_MAX, 1})), "reaches beyond");
  ExpectRefusal(Pickle(Float(INT64_MAX, {2}, {INT64_MAX})), "reaches beyond");
  ExpectRefusal(Pickle(Float(0, {4}, {1, 1})), "1 sizes but 2 strides");
  ExpectRefusal(Pickle(Float(0, {-1}, {1})), "negative size");
  ExpectRefusal(Pickle(Float(0, {1}, {-1})), "negative stride");
  ExpectRefusal(Pickle(Float(-1, {1}, {1})), "negative stride or offset");
  ExpectRefusal(Pickle(Float(0, {1 << 30, 1 << 30, 1 << 30}, {0, 0, 0})), "overflows");
  ExpectRefusal(Pickle(TensorOp(FloatStorage("0", INT64_MAX), 0, {1}, {1})), "size overflows");
}

TEST(Pickle, NamesTheTensorThatIsWrong) {
  EXPECT_EQ(PlaceOf(Decode(Pickle(Dict({{"w", Float(0, {17}, {1})}}))), "tensor"), "w");
}

TEST(Pickle, StridesOfAxesOfOneElementDoNotMatter) {
  EXPECT_THAT(Decode(Pickle(Float(0, {1, 4}, {77, 1})))->tensors[0].byte_strides,
              ElementsAre(16U, 4U));
}

TEST(Pickle, RefusesStoragesThatAreNone) {
  const std::string type = GlobalOp("torch", "FloatStorage");
  ExpectRefusal(Pickle(Text("storage") + "Q"), "no tuple");
  ExpectRefusal(Pickle("(" + Text("module") + "NNNtQ"), "whole module");
  ExpectRefusal(Pickle("(" + Text("stored") + type + Text("0") + Text("cpu") + Int(1) + "tQ"),
                "names no storage");
  ExpectRefusal(Pickle(StorageOp(GlobalOp("torch", "float32"), "0", 1)),
                "without the storage's type");
  ExpectRefusal(Pickle(StorageOp(type, "0", -1)), "number of elements");
  ExpectRefusal(Pickle(TensorOp(StorageOp(type, "0", 4, "meta"), 0, {1}, {1})), "no data");
  ExpectRefusal(Pickle(Dict({{"a", TensorOp(FloatStorage("0", 4), 0, {1}, {1})},
                             {"b", TensorOp(FloatStorage("0", 5), 0, {1}, {1})}})),
                "20 bytes here and 16 bytes elsewhere");
}

TEST(Pickle, RefusesWhatItsStackDoesNotHold) {
  ExpectRefusal(Pickle("R"), "REDUCE needs more values");
  ExpectRefusal(Pickle("(R"), "REDUCE needs more values");
  ExpectRefusal(Pickle("e"), "APPENDS needs more values");
  ExpectRefusal(Pickle("(q\x01"), "BINPUT needs more values");
  ExpectRefusal(Pickle(""), "STOP needs more values");
  ExpectRefusal(Pickle("hc"), "memo 99, which was never put");
  ExpectRefusal(Pickle("NN"), "2 values instead of one");
  ExpectRefusal(Pickle("N") + "x", "1 bytes after the pickle's STOP");
  ExpectRefusal("\x80\x02N", "ends without STOP");
  ExpectRefusal(std::string("\x80\x02X\xff\xff\xff\xff", 7) + "abc.",
                "BINUNICODE is longer than the 8 bytes");
}

TEST(Pickle, RefusesOpcodesThatNoStateDictNeeds) {
  for (const auto& [code, name] :
       std::vector<std::pair<std::string, std::string>>{{"I1\n", "INT"},
                                                        {"V\n", "UNICODE"},
                                                        {"ios\nsystem\n", "INST"},
                                                        {"o", "OBJ"},
                                                        {"\x82\x01", "EXT1"},
                                                        {"\x97", "NEXT_BUFFER"},
                                                        {"Px\n", "PERSID"}})
    ExpectRefusal(Pickle(code), "opcode " + name);
  ExpectRefusal(Pickle("\xf0"), "0xf0 is no opcode");
  ExpectRefusal("\x80\x06N.", "protocol 6");
}

TEST(Pickle, BuildsAndFillsOnlyWhatMayBe) {
  ExpectRefusal(Pickle("}}b"), "BUILD on a value that is neither");
  ExpectRefusal(Pickle("]NNs"), "SETITEM on a value that is no dict");
  ExpectRefusal(Pickle("}Na"), "APPEND on a value that is no list");
  ExpectRefusal(Pickle("}(Nu"), "a key without a value");
  ExpectRefusal(Pickle(GlobalOp("torch", "float32") + ")R"), "which is a type");
  ExpectRefusal(Pickle("N)R"), "no function");
  ExpectRefusal(Pickle(GlobalOp("torch._utils", "_rebuild_parameter") + ")\x81"),
                "NEWOBJ of a class");
  EXPECT_TRUE(Decode(Pickle(GlobalOp("collections", "OrderedDict") + ")\x81")));
}

TEST(Pickle, TakesNoMoreThanItsMemoryAndTime) {
  const std::clock_t begin = std::clock();
  constexpr size_t many = (10 << 20) / kCaseStep;
  ExpectRefusal(Pickle("(" + std::string(many, ']') + "t"), "more values than there is memory for",
                Code::kResources);
  ExpectRefusal(Pickle("(" + std::string(many, 'N') + "t"), "more values than there is memory for",
                Code::kResources);
  ExpectRefusal(Pickle(std::string(many, '(')), "more values than there is memory for",
                Code::kResources);
  // Lists inside lists: neither recursion nor a name for each.
  EXPECT_TRUE(Decode(Pickle(std::string(60000, ']') + std::string(59999, 'a'))));
  // 2^60 leaves by sharing.
  std::string bomb = "]q";
  bomb += '\0';
  for (char i = 0; i < 60; ++i) {
    bomb += "](h";
    bomb += i;
    bomb += "h";
    bomb += i;
    bomb += "eq";
    bomb += static_cast<char>(i + 1);
    bomb += "";
  }
  std::string pickle = "\x80\x02(" + bomb + "t.";
  ExpectRefusal(pickle, "share their parts so often");
  ExpectRefusal(Pickle(std::string("}q\0", 3) + Text("a") + std::string("h\0s", 3)),
                "holds itself");
#ifdef CKPT_SANITIZED
  constexpr double most_seconds = 50;  // of CPU: the sanitizer slows this five to ten times
#else
  constexpr double most_seconds = 5;
#endif
  EXPECT_LT(static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC, most_seconds);
}

}  // namespace
}  // namespace ckpt::pickle
