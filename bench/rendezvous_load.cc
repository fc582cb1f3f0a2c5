// Clients of a rendezvous, or of a WebSocket tracker, many of them in one process, and how long they wait.
//
// usage: rendezvous_load ask codio|tracker PORT IDLE ACTIVE SECONDS RATE
//        rendezvous_load pass PORT-A PORT-B COUNT
//
// `ask` opens IDLE + ACTIVE connections, each of which announces one of 1,000 contents, prints {"open": …} and waits
// for a line on the standard input. Then the active ones ask who has a content: RATE times a second together, or with 0
// each again as soon as it was answered. It prints {"requests", "seconds", "p50", "p99", "most"}, times in milliseconds
// from when a request was due, and waits for another line before it closes the connections. `pass` lets a client at A
// and one at B talk to each other in turns, COUNT times, and prints the same for one way.
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/websocket.hpp>

#include "content_id/cid.h"
#include "rendezvous/messages.h"

namespace codio {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace websocket = boost::beast::websocket;
using asio::ip::tcp;
using boost::system::error_code;
using nlohmann::json;
using Clock = std::chrono::steady_clock;
using rendezvous::ClientMessage;

constexpr int kContents = 1000;
constexpr int kAddresses = 8;  // A server allows 4,096 connections from each.
constexpr int kOpening = 64;

[[noreturn]] void fail(const std::string& what) {
  std::fprintf(stderr, "rendezvous_load: %s\n", what.c_str());
  std::exit(1);
}

content_id::ContentId content(int number) {
  content_id::Digest256 digest{};
  digest[0] = static_cast<std::uint8_t>(number);
  digest[1] = static_cast<std::uint8_t>(number >> 8);
  return content_id::ContentId::v1(content_id::Codec::kRaw, digest);
}

std::string twenty(std::string_view kind, int number) {
  std::string text = std::string(kind) + std::to_string(number);
  return text + std::string(20 - text.size(), '.');
}

class Connection {
 public:
  using OnText = std::function<void(std::string_view)>;

  Connection(asio::io_context& io, int number) : socket_(io), number_(number) {}

  void open(std::uint16_t port, bool is_tracker, std::function<void()> on_open, OnText on_text) {
    on_text_ = std::move(on_text);
    tcp::socket& tcp_socket = socket_.next_layer();
    tcp_socket.open(tcp::v4());
    const auto last = static_cast<std::uint8_t>(2 + number_ % kAddresses);
    tcp_socket.bind({asio::ip::address_v4({127, 0, 0, last}), 0});
    tcp_socket.set_option(tcp::socket::reuse_address(true));
    tcp_socket.async_connect({asio::ip::address_v4::loopback(), port}, [=, this](error_code error) {
      if (error) fail("connection " + std::to_string(number_) + ": " + error.message());
      socket_.next_layer().set_option(tcp::no_delay(true));
      if (!is_tracker) {
        socket_.set_option(websocket::stream_base::decorator([](websocket::request_type& request) {
          request.set(beast::http::field::sec_websocket_protocol, std::string(rendezvous::kSubprotocol));
        }));
      }
      socket_.async_handshake("localhost", is_tracker ? "/" : "/rendezvous", [=, this](error_code refused) {
        if (refused) fail("handshake " + std::to_string(number_) + ": " + refused.message());
        read();
        on_open();
      });
    });
  }

  void send(std::string text) {
    sending_.push_back(std::move(text));
    if (sending_.size() == 1) write();
  }

  int number() const { return number_; }
  Clock::time_point due;
  bool is_waiting = false;

 private:
  void write() {
    socket_.async_write(asio::buffer(sending_.front()), [this](error_code error, std::size_t) {
      if (error) fail("write: " + error.message());
      sending_.erase(sending_.begin());
      if (!sending_.empty()) write();
    });
  }

  void read() {
    socket_.async_read(buffer_, [this](error_code error, std::size_t) {
      if (error) fail("connection " + std::to_string(number_) + " ended: " + error.message());
      const auto data = buffer_.cdata();
      on_text_({static_cast<const char*>(data.data()), data.size()});
      buffer_.clear();
      read();
    });
  }

  websocket::stream<tcp::socket, false> socket_;
  int number_;
  beast::flat_buffer buffer_;
  OnText on_text_;
  std::vector<std::string> sending_;
};

double ms(Clock::duration time) { return std::chrono::duration<double, std::milli>(time).count(); }

void print(std::vector<double> waits, double seconds) {
  if (waits.empty()) fail("no request was answered");
  std::ranges::sort(waits);
  const auto at = [&](double share) {
    return waits[static_cast<std::size_t>(share * static_cast<double>(waits.size() - 1))];
  };
  std::cout << json{{"requests", waits.size()},
                    {"seconds", seconds},
                    {"p50", at(0.5)},
                    {"p99", at(0.99)},
                    {"most", waits.back()}}
            << std::endl;
}

class Asking {
 public:
  Asking(bool is_tracker, std::uint16_t port, int idle, int active, double seconds, double rate)
      : is_tracker_(is_tracker), port_(port), active_(active), seconds_(seconds), rate_(rate), timer_(io_) {
    for (int i = 0; i < idle + active; ++i) connections_.push_back(std::make_unique<Connection>(io_, i));
  }

  void run() {
    for (int i = 0; i < kOpening; ++i) open_next();
    io_.run();
    std::cout << json{{"open", connections_.size()}} << std::endl;
    wait_for_line();
    begin_ = Clock::now();
    end_ = begin_ + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds_));
    if (rate_ == 0) {
      for (int i = 0; i < active_; ++i) ask(*connections_[static_cast<std::size_t>(i)], begin_);
    } else {
      tick();
    }
    io_.restart();
    io_.run();
    print(waits_, ms(Clock::now() - begin_) / 1000);
    wait_for_line();
    std::_Exit(0);
  }

 private:
  static void wait_for_line() {
    std::string line;
    std::getline(std::cin, line);
  }

  void open_next() {
    if (opening_ == connections_.size()) return;
    Connection& connection = *connections_[opening_++];
    connection.open(
        port_, is_tracker_,
        [this, &connection] {
          if (!is_tracker_) connection.send(to_json(ClientMessage{rendezvous::Join{}}));
          connection.send(announce(connection));
          if (!is_tracker_)
            connection.send(question(connection));  // So that it is known when the announcement is done.
          connection.is_waiting = true;
        },
        [this, &connection](std::string_view text) { handle(connection, text); });
  }

  void handle(Connection& connection, std::string_view text) {
    if (text.find(is_tracker_ ? "\"interval\"" : "\"providers\"") == std::string_view::npos) {
      if (text.find("\"error\"") != std::string_view::npos) fail("refused: " + std::string(text));
      return;
    }
    if (!connection.is_waiting) return;
    connection.is_waiting = false;
    if (opened_ < connections_.size()) {
      open_next();
      if (++opened_ == connections_.size()) io_.stop();
      return;
    }
    const auto now = Clock::now();
    waits_.push_back(ms(now - connection.due));
    if (now >= end_) {
      if (rate_ == 0 || --under_way_ == 0) io_.stop();
      return;
    }
    --under_way_;
    if (rate_ == 0) ask(connection, now);
  }

  void ask(Connection& connection, Clock::time_point due) {
    connection.due = due;
    connection.is_waiting = true;
    ++under_way_;
    connection.send(is_tracker_ ? announce(connection) : question(connection));
  }

  // Sends what is due; a connection that still waits lets the next one ask.
  void tick() {
    const auto now = Clock::now();
    if (now >= end_) {
      if (under_way_ == 0) io_.stop();
      return;
    }
    const auto due = static_cast<std::uint64_t>(std::chrono::duration<double>(now - begin_).count() * rate_);
    for (; asked_ < due; ++asked_) {
      const auto at = begin_ + std::chrono::duration_cast<Clock::duration>(
                                   std::chrono::duration<double>(static_cast<double>(asked_) / rate_));
      for (int tries = 0; tries < active_; ++tries) {
        Connection& connection = *connections_[next_++ % static_cast<std::size_t>(active_)];
        if (connection.is_waiting) continue;
        ask(connection, at);
        break;
      }
    }
    timer_.expires_after(std::chrono::milliseconds(1));
    timer_.async_wait([this](error_code) { tick(); });
  }

  std::string announce(const Connection& connection) const {
    const int number = connection.number();
    if (!is_tracker_) return to_json(ClientMessage{rendezvous::Announce{{content(number % kContents)}}});
    return json{{"action", "announce"},
                {"info_hash", twenty("content", number % kContents)},
                {"peer_id", twenty("peer", number)},
                {"numwant", 0},
                {"uploaded", 0},
                {"downloaded", 0},
                {"left", 0}}
        .dump();
  }

  std::string question(const Connection& connection) {
    return to_json(ClientMessage{rendezvous::Find{++last_question_, content(connection.number() * 7 % kContents)}});
  }

  asio::io_context io_{1};
  const bool is_tracker_;
  const std::uint16_t port_;
  const int active_;
  const double seconds_;
  const double rate_;
  asio::steady_timer timer_;
  std::vector<std::unique_ptr<Connection>> connections_;
  std::size_t opening_ = 0;
  std::size_t opened_ = 0;
  std::uint64_t last_question_ = 0;
  std::uint64_t asked_ = 0;
  std::size_t next_ = 0;
  std::int64_t under_way_ = 0;
  Clock::time_point begin_;
  Clock::time_point end_;
  std::vector<double> waits_;
};

void pass(std::uint16_t port_a, std::uint16_t port_b, int count) {
  asio::io_context io(1);
  Connection a(io, 0);
  Connection b(io, 1);
  std::string id_b;
  Clock::time_point sent;
  std::vector<double> waits;
  const auto begin = Clock::now();
  const auto say = [&](Connection& from, const std::string& to) {
    sent = Clock::now();
    from.send(to_json(ClientMessage{rendezvous::Candidate{to, "s", std::string(120, 'c'), "0"}}));
  };
  const auto handle = [&](Connection& self, std::string_view text) {
    const auto message = rendezvous::parse_server_message(text);
    if (!message) fail("not understood: " + std::string(text));
    if (std::holds_alternative<rendezvous::Welcome>(*message)) {
      self.send(to_json(ClientMessage{rendezvous::Join{}}));
    } else if (const auto* joined = std::get_if<rendezvous::Joined>(&*message)) {
      if (&self == &b) {
        id_b = joined->peer;
        a.open(
            port_a, false,
            [&] {
              a.send(to_json(ClientMessage{rendezvous::Join{}}));
              a.send(to_json(ClientMessage{rendezvous::Offer{id_b, "s", "offer"}}));
            },
            [&](std::string_view received) {
              const auto back = rendezvous::parse_server_message(received);
              if (back && std::holds_alternative<rendezvous::Candidate>(*back)) {
                waits.push_back(ms(Clock::now() - sent));
                if (static_cast<int>(waits.size()) >= count) return io.stop();
                say(a, id_b);
              } else if (back && !std::holds_alternative<rendezvous::Welcome>(*back) &&
                         !std::holds_alternative<rendezvous::Joined>(*back)) {
                fail("not understood: " + std::string(received));
              }
            });
      }
    } else if (const auto* offer = std::get_if<rendezvous::Offer>(&*message)) {
      say(b, offer->peer);
    } else if (const auto* candidate = std::get_if<rendezvous::Candidate>(&*message)) {
      waits.push_back(ms(Clock::now() - sent));
      // Within the rate that a connection is allowed.
      auto timer = std::make_shared<asio::steady_timer>(io, std::chrono::milliseconds(20));
      timer->async_wait([&, timer, to = candidate->peer](error_code) { say(b, to); });
    } else {
      fail("not understood: " + std::string(text));
    }
  };
  b.open(port_b, false, [] {}, [&](std::string_view text) { handle(b, text); });
  io.run();
  print(waits, ms(Clock::now() - begin) / 1000);
  std::_Exit(0);
}

int main(int count, char** arguments) {
  const std::vector<std::string> words(arguments + 1, arguments + count);
  const auto port = [](const std::string& text) { return static_cast<std::uint16_t>(std::stoi(text)); };
  if (words.size() == 7 && words[0] == "ask") {
    Asking(words[1] == "tracker", port(words[2]), std::stoi(words[3]), std::stoi(words[4]), std::stod(words[5]),
           std::stod(words[6]))
        .run();
  } else if (words.size() == 4 && words[0] == "pass") {
    pass(port(words[1]), port(words[2]), std::stoi(words[3]));
  } else {
    fail("see the head of bench/rendezvous_load.cc");
  }
  return 0;
}

}  // namespace
}  // namespace codio

int main(int count, char** arguments) { return codio::main(count, arguments); }
