#pragma once

#include <fcntl.h>
#include <netdb.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ckpt {

/// A stub server (tests/stubs/README.md) as a child of the test: `python3 tests/stubs/NAME.py`, on
/// ports of its own choice. It ends with the object, or with the test: its standard input closes.
/// Throws where it does not start: a test cannot go on without it.
class StartedStub {
 public:
  explicit StartedStub(const std::string& name, const std::vector<std::string>& arguments = {}) {
    std::array<int, 2> in{};
    std::array<int, 2> out{};
    // Closed on exec: a stub that is started next would otherwise keep this one's input open.
    if (pipe2(in.data(), O_CLOEXEC) != 0 || pipe2(out.data(), O_CLOEXEC) != 0)
      throw std::runtime_error("no pipe for a stub");
    std::vector<std::string> words = {"python3", "tests/stubs/" + name + ".py"};
    words.insert(words.end(), arguments.begin(), arguments.end());
    std::vector<char*> argv;
    argv.reserve(words.size() + 1);
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    child_ = fork();
    if (child_ < 0) throw std::runtime_error("no process for a stub");
    if (child_ == 0) {
      dup2(in[0], STDIN_FILENO);
      dup2(out[1], STDOUT_FILENO);
      execvp("python3", argv.data());
      _exit(127);
    }
    close(in[0]);
    close(out[1]);
    input_ = in[1];
    output_ = out[0];
    origin_ = Address("listening on");
  }
  StartedStub(const StartedStub&) = delete;
  StartedStub& operator=(const StartedStub&) = delete;
  ~StartedStub() {
    close(input_);
    close(output_);
    waitpid(child_, nullptr, 0);
  }

  /// "http://127.0.0.1:PORT".
  const std::string& origin() const { return origin_; }

  /// The address in the line that begins with `words`, such as "cdn".
  std::string Address(const std::string& words) {
    while (!addresses_.contains(words)) {
      const std::string line = Line();
      const size_t space = line.rfind(' ');
      if (space != std::string::npos) addresses_[line.substr(0, space)] = line.substr(space + 1);
    }
    return addresses_[words];
  }

  /// The body that the stub answers.
  std::string Get(const std::string& path) { return Ask("GET", path, ""); }
  std::string Post(const std::string& path, const std::string& body) {
    return Ask("POST", path, body);
  }
  /// What goes wrong next; `json` as tests/stubs/README.md has it.
  void Script(const std::string& json) { Post("/_stub/faults", json); }

 private:
  std::string Line() {
    std::string line;
    for (char c = 0; read(output_, &c, 1) == 1;) {
      if (c == '\n') return line;
      line += c;
    }
    throw std::runtime_error("a stub ended before it listened");
  }

  // As plain as can be: what the tests themselves ask for must not depend on the code under test.
  std::string Ask(const std::string& method, const std::string& path, const std::string& body) {
    const std::string place = origin_.substr(origin_.find("//") + 2);
    const size_t colon = place.rfind(':');
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    if (getaddrinfo(place.substr(0, colon).c_str(), place.substr(colon + 1).c_str(), &hints,
                    &found) != 0)
      throw std::runtime_error("no address " + place);
    const int peer = socket(found->ai_family, found->ai_socktype | SOCK_CLOEXEC, 0);
    const bool is_connected = connect(peer, found->ai_addr, found->ai_addrlen) == 0;
    freeaddrinfo(found);
    const std::string request = method + " " + path + " HTTP/1.1\r\nHost: " + place +
                                "\r\nConnection: close\r\nContent-Type: application/json\r\n" +
                                "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" +
                                body;
    std::string answer;
    if (is_connected && send(peer, request.data(), request.size(), MSG_NOSIGNAL) ==
                            static_cast<ssize_t>(request.size())) {
      std::array<char, 4096> piece{};
      for (ssize_t size = 0; (size = recv(peer, piece.data(), piece.size(), 0)) > 0;)
        answer.append(piece.data(), static_cast<size_t>(size));
    }
    close(peer);
    const size_t end = answer.find("\r\n\r\n");
    if (end == std::string::npos) throw std::runtime_error("no answer of the stub at " + place);
    return answer.substr(end + 4);
  }

  pid_t child_ = -1;
  int input_ = -1;
  int output_ = -1;
  std::string origin_;
  std::map<std::string, std::string> addresses_;
};

}  // namespace ckpt
