#include "cli/chunked_arguments.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "base/text.h"
#include "base/uri.h"
#include "cli/paths.h"

namespace ckpt {
namespace {

void ParseOutputs(const Arguments& arguments, Settings& settings, Faults& faults) {
  const std::span<const std::string> known = settings.chunked->OutputNames();
  std::vector<std::string>& outputs = settings.chunked_settings.outputs;
  if (arguments.outputs.empty()) {
    faults.Add("--outputs is missing: which checkpoints shall be written?",
               fmt::format("give --outputs with some of {}", fmt::join(known, ", ")));
    return;
  }
  for (std::string& word : Split(arguments.outputs, ',')) {
    if (std::find(known.begin(), known.end(), word) == known.end()) {
      faults.Add(fmt::format("--outputs {} is unknown", Printable(word)), DidYouMean(word, known));
    } else if (std::find(outputs.begin(), outputs.end(), word) == outputs.end()) {
      outputs.push_back(std::move(word));
    }
  }
}

// A place as an absolute path: that of a bucket begins with its name.
std::string PathOf(const Uri& uri) {
  if (uri.scheme() == "file") return AbsolutePath(uri.path());
  return NormalPath("/" + uri.authority() + "/" + uri.path());
}

// Outputs elsewhere move the root up to what they and DEST have in common.
void ParsePlaces(const Arguments& arguments, Settings& settings, Faults& faults) {
  settings.destination = arguments.destination;
  if (arguments.output_paths.empty()) return;
  const Result<Uri> destination = Uri::Parse(arguments.destination);
  if (!destination || (destination->scheme() != "file" && destination->scheme() != "gs")) {
    faults.Add("--output needs a folder as DEST", "leave --output out");
    return;
  }
  const bool is_bucket = destination->scheme() == "gs";
  const std::vector<std::string>& outputs = settings.chunked_settings.outputs;
  std::string root = PathOf(*destination);
  std::map<std::string, std::string> paths;
  for (const std::string& word : arguments.output_paths) {
    const size_t equals = word.find('=');
    const std::string name = word.substr(0, equals);
    const std::string path = equals == std::string::npos ? "" : word.substr(equals + 1);
    const Result<Uri> uri = Uri::Parse(path);
    if (path.empty() || !uri || uri->scheme() != destination->scheme() ||
        uri->authority() != destination->authority()) {
      faults.Add(fmt::format("--output {} is no NAME=PATH", Printable(word)),
                 is_bucket ? fmt::format("give --output scanned=gs://{}/folder/of/its/own",
                                         Printable(destination->authority()))
                           : "give --output scanned=/folder/of/its/own");
    } else if (std::find(outputs.begin(), outputs.end(), name) == outputs.end()) {
      faults.Add(fmt::format("--output {}: no such output is asked for", Printable(name)),
                 fmt::format("--outputs asks for {}", fmt::join(outputs, ", ")));
    } else {
      paths[name] = PathOf(*uri);
    }
  }
  const std::string dest = root;
  for (const auto& [name, path] : paths) {
    root = CommonFolder(std::move(root), path);
    if (root == path) root = FolderAbove(root);  // an output lies below the root, not in its place
  }
  // Those without a path of their own stay below DEST.
  settings.chunked_settings.default_root = PathBelow(dest, root).value_or("");
  for (const auto& [name, path] : paths)
    settings.chunked_settings.roots[name] = PathBelow(path, root).value_or("");
  settings.destination = is_bucket ? "gs:/" + root : root;
}

void ParseOneOf(std::string_view option, const std::string& word,
                std::initializer_list<std::string_view> known, Faults& faults) {
  if (word.empty() || std::find(known.begin(), known.end(), word) != known.end()) return;
  faults.Add(fmt::format("{} {} is unknown", option, Printable(word)),
             fmt::format("{}: one of {}", option, fmt::join(known, ", ")));
}

}  // namespace

Result<Mesh> ParseMesh(std::string_view text) {
  Mesh mesh;
  if (text.empty()) return mesh;
  for (const std::string& word : Split(text, ',')) {
    const size_t equals = word.find('=');
    const std::string name = word.substr(0, equals);
    const std::string count = equals == std::string::npos ? std::string() : word.substr(equals + 1);
    uint64_t devices = 0;
    const auto [end, error] = std::from_chars(count.data(), count.data() + count.size(), devices);
    if (count.empty() || error != std::errc() || end != count.data() + count.size() || devices == 0)
      return Fail(Code::kUsage, fmt::format("{} is no AXIS=DEVICES", Printable(word)),
                  "give --mesh fsdp=16,tensor=4");
    std::vector<std::string> axes;
    if (name == "fsdp") axes = {"e"};
    if (name == "tensor") axes = {"h", "k", "f", "v"};
    if (name == "expert") axes = {"x"};
    if (axes.empty())
      return Fail(Code::kUsage, fmt::format("{} is no axis of a mesh", Printable(name)),
                  "axes are fsdp, tensor and expert");
    for (const std::string& axis : axes) mesh[axis] = devices;
  }
  return mesh;
}

void AddChunkedOptions(Options& options, Arguments& arguments) {
  options.Value("--outputs", "NAMES", arguments.outputs,
                "maxtext: scanned, unscanned, int8, int8w, int4w, intmp, fp8; several with commas");
  options.Values("--output", "NAME=PATH", arguments.output_paths,
                 "maxtext: put one output elsewhere than below DEST (may be repeated)");
  options.Value("--dtype", "TYPE", arguments.dtype,
                "maxtext: bfloat16 (default) or float32, of scanned and unscanned");
  options.Value("--compression", "CODEC", arguments.compression,
                "maxtext: zstd:1 (default: none; compressed chunks load 1.5 to 3 times slower)");
  options.Value("--orbax-layout", "LAYOUT", arguments.orbax_layout,
                "maxtext: ocdbt (default) or pathways (zarr v2, one object per chunk)");
  options.Value("--quant-layout", "LAYOUT", arguments.quant_layout,
                "maxtext: linen (default, JetStream) or nnx (today's MaxText server)");
  options.Value("--rope-layout", "LAYOUT", arguments.rope_layout,
                "maxtext: half or interleaved, instead of what the model's name settles");
  options.Value("--mesh", "AXIS=N", arguments.mesh,
                "maxtext: devices that will load it, such as fsdp=16,tensor=4: chunks are cut for "
                "them");
}

void ParseChunked(const Arguments& arguments, Settings& settings, Faults& faults) {
  ChunkedSettings& chunked = settings.chunked_settings;
  if (!arguments.quantize.empty())
    faults.Add("--quantize is not for this target", "name the quantized tree in --outputs");
  if (arguments.is_dtype_preserved)
    faults.Add("--preserve-dtype is not for this target", "give --dtype float32");
  ParseOutputs(arguments, settings, faults);
  ParsePlaces(arguments, settings, faults);
  ParseOneOf("--dtype", arguments.dtype, {"bfloat16", "float32"}, faults);
  ParseOneOf("--compression", arguments.compression, {"none", "zstd:1"}, faults);
  ParseOneOf("--orbax-layout", arguments.orbax_layout, {"ocdbt", "pathways"}, faults);
  ParseOneOf("--quant-layout", arguments.quant_layout, {"linen", "nnx"}, faults);
  ParseOneOf("--rope-layout", arguments.rope_layout, {"half", "interleaved"}, faults);
  chunked.is_f32 = arguments.dtype == "float32";
  chunked.compression = arguments.compression == "none" ? "" : arguments.compression;
  chunked.layout = arguments.orbax_layout == "ocdbt" ? "" : arguments.orbax_layout;
  chunked.quant_layout = arguments.quant_layout;
  chunked.rope_layout = arguments.rope_layout;
  chunked.model_name = arguments.model_name;
  Result<Mesh> mesh = ParseMesh(arguments.mesh);
  if (mesh) {
    chunked.mesh = *std::move(mesh);
  } else {
    faults.Take(mesh, "--mesh");
  }
}

void RefuseChunkedOptions(const Arguments& arguments, Faults& faults) {
  const std::array<std::pair<std::string_view, bool>, 8> given = {{
      {"--outputs", !arguments.outputs.empty()},
      {"--output", !arguments.output_paths.empty()},
      {"--dtype", !arguments.dtype.empty()},
      {"--compression", !arguments.compression.empty()},
      {"--orbax-layout", !arguments.orbax_layout.empty()},
      {"--quant-layout", !arguments.quant_layout.empty()},
      {"--rope-layout", !arguments.rope_layout.empty()},
      {"--mesh", !arguments.mesh.empty()},
  }};
  for (const auto& [option, is_given] : given) {
    if (is_given)
      faults.Add(fmt::format("{} is not for this target", option), "leave it out; maxtext has it");
  }
}

}  // namespace ckpt
