#include "store/gs/auth/run_program.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>

#include "base/text.h"

extern char** environ;

namespace ckpt::gs {
namespace {

constexpr size_t kMostOutputBytes = 1 << 20;

// Reads to the end of `output`. False where the time or the size ends first.
bool ReadOutput(int output, std::chrono::milliseconds timeout, std::string& text) {
  const auto end = std::chrono::steady_clock::now() + timeout;
  while (true) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        end - std::chrono::steady_clock::now());
    pollfd wanted{output, POLLIN, 0};
    if (left.count() <= 0 || poll(&wanted, 1, static_cast<int>(left.count())) == 0) return false;
    std::array<char, 4096> piece{};
    const ssize_t size = read(output, piece.data(), piece.size());
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) return size == 0;
    text.append(piece.data(), static_cast<size_t>(size));
    if (text.size() > kMostOutputBytes) return false;
  }
}

std::vector<char*> Pointers(std::vector<std::string>& words) {
  std::vector<char*> pointers;
  pointers.reserve(words.size() + 1);
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  return pointers;
}

}  // namespace

Result<Secret> RunProgram(const Program& program) {
  std::vector<std::string> words = program.words;
  std::vector<std::string> variables;
  for (char** variable = environ; *variable != nullptr; ++variable)
    variables.emplace_back(*variable);
  for (const auto& [name, value] : program.variables)
    variables.push_back(fmt::format("{}={}", name, value));
  const auto failed = [&](const char* what) {
    return Result<Secret>(Fail(Code::kNoCredential, what, "run it by hand and see what it prints"))
        .map_error(Where("program", Printable(program.words.front())));
  };

  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) return failed("cannot be run: no pipe");
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
  pid_t child = -1;
  const int error = posix_spawnp(&child, words.front().c_str(), &actions, nullptr,
                                 Pointers(words).data(), Pointers(variables).data());
  posix_spawn_file_actions_destroy(&actions);
  close(ends[1]);
  if (error != 0) {
    close(ends[0]);
    return failed("cannot be run");
  }
  std::string text;
  const bool is_whole = ReadOutput(ends[0], program.timeout, text);
  close(ends[0]);
  if (!is_whole) kill(child, SIGKILL);
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (!is_whole) return failed("took too long, or printed too much");
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) return failed("failed");
  return Secret(std::move(text));
}

}  // namespace ckpt::gs
