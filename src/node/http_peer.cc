#include "node/http_peer.h"

#include <algorithm>
#include <cstdint>
#include <deque>
#include <optional>
#include <utility>
#include <variant>
#include <boost/asio/post.hpp>

#include "common/check.h"
#include "content_id/car.h"
#include "transfer/wire/messages.h"

namespace codio::node {

namespace wire = transfer::wire;
using content_id::ContentId;

namespace {

/// Hides a round trip of 100 ms at 40 MB/s with blocks of 1 MiB.
constexpr std::size_t kParallel = 4;
/// Blocks in a row that it did not give; a gateway that has none is no help.
constexpr int kMaxFailures = 4;

}  // namespace

class HttpPeer::Impl : public std::enable_shared_from_this<Impl> {
 public:
  Impl(boost::asio::any_io_executor executor, gateway::HttpClient& http, std::string gateway, Reach teller,
       HttpPeerEvents events)
      : executor_(std::move(executor)),
        http_(http),
        gateway_(std::move(gateway)),
        teller_(teller),
        events_(std::move(events)) {}

  void start() { tell(wire::Hello{}); }

  void stop() {
    stopped_ = true;
    for (const Want& want : wants_) {
      if (want.request) http_.cancel(*want.request);
    }
    wants_.clear();
  }

  const std::string& gateway() const { return gateway_; }

  void send(BytesView frame) {
    const auto message = wire::decode(frame);
    check(message.has_value());  // The engine's own.
    if (*message) std::visit([this](const auto& body) { handle(body); }, **message);
    pump();
  }

 private:
  struct Want {
    wire::WantId id;
    ContentId cid;
    std::optional<gateway::HttpId> request = {};
    bool is_started = false;
    bool is_whole = false;
    /// Why it gets no block from here.
    std::optional<wire::DontHaveReason> refusal = {};
    std::optional<std::uint64_t> size = {};
    Bytes bytes = {};
    std::size_t sent = 0;
  };

  void handle(const wire::Hello& hello) {
    max_frame_ = hello.max_frame;
    credit_ = std::max(credit_, hello.credit);
  }
  void handle(const wire::Credit& credit) { credit_ = std::max(credit_, credit.limit); }
  void handle(const wire::Want& want) {
    wire::DontHave unknown;
    for (const wire::WantEntry& entry : want.entries) {
      // It was found for the one root, and serves what is below that; nothing is known of others.
      if (entry.kind == wire::WantKind::kHave) {
        unknown.ids.push_back(entry.id);
      } else {
        wants_.push_back({.id = entry.id, .cid = entry.cid});
      }
    }
    if (!unknown.ids.empty()) tell(unknown);
  }
  void handle(const wire::Cancel& cancel) {
    for (const wire::WantId id : cancel.ids) {
      const auto want = find(id);
      if (want == wants_.end()) continue;
      if (want->request) http_.cancel(*want->request);
      wants_.erase(want);
    }
  }
  template <class Other>
  void handle(const Other&) {}

  std::deque<Want>::iterator find(wire::WantId id) {
    return std::ranges::find_if(wants_, [id](const Want& want) { return want.id == id; });
  }

  /// Asks for the next blocks, and hands over what has come of the first.
  void pump() {
    for (std::size_t i = 0; i < std::min(kParallel, wants_.size()); ++i) {
      if (!wants_[i].is_started) fetch(wants_[i]);
    }
    while (!wants_.empty() && hand_over(wants_.front())) {
      wants_.pop_front();
      if (wants_.size() >= kParallel && !wants_[kParallel - 1].is_started) fetch(wants_[kParallel - 1]);
    }
  }

  void fetch(Want& want) {
    want.is_started = true;
    gateway::HttpRequest request;
    request.url = gateway_ + want.cid.to_string() + "?format=raw";
    request.accept = "application/vnd.ipld.raw";
    request.max_size = content_id::kMaxBlockSize;
    request.timeout = std::chrono::seconds(15);
    request.may_ask = named_by(teller_);
    const auto later = [weak = weak_from_this(), executor = executor_](auto task) {
      boost::asio::post(executor, [weak, task = std::move(task)]() mutable {
        const auto self = weak.lock();
        if (self && !self->stopped_) task(*self);
      });
    };
    request.on_part = [later, id = want.id](const gateway::HttpAnswer& head, BytesView part) {
      if (head.status != 200) return;
      later([id, size = head.size, bytes = Bytes(part.begin(), part.end())](Impl& self) {
        self.handle_part(id, size, bytes);
      });
    };
    want.request = http_.get(std::move(request), [later, id = want.id](const Result<gateway::HttpAnswer>& answer) {
      later([id, status = answer ? answer->status : 0L](Impl& self) { self.handle_end(id, status); });
    });
  }

  void handle_part(wire::WantId id, std::optional<std::uint64_t> size, BytesView bytes) {
    const auto want = find(id);
    if (want == wants_.end()) return;
    want->size = size;
    append(want->bytes, bytes);
    pump();
  }

  /// `status`: 0 if the connection failed.
  void handle_end(wire::WantId id, long status) {
    const auto want = find(id);
    if (want == wants_.end()) return;
    want->request.reset();
    want->is_whole = status == 200 && (!want->size || *want->size == want->bytes.size());
    if (want->is_whole) {
      want->size = want->bytes.size();
      failures_ = 0;
    } else {
      const bool is_trouble = status == 0 || status == 429 || status >= 500;
      want->refusal = is_trouble ? wire::DontHaveReason::kBusy : wire::DontHaveReason::kNotHere;
      if (++failures_ >= kMaxFailures || want->sent > 0) return close();
    }
    pump();
  }

  /// True when it was handed over whole, or cannot be.
  bool hand_over(Want& want) {
    if (want.refusal) {
      tell(wire::DontHave{.ids = {want.id}, .reason = *want.refusal});
      return true;
    }
    if (!want.size) return false;
    if (want.bytes.size() > *want.size) {
      close();
      return false;
    }
    while (want.sent < want.bytes.size() || (*want.size == 0 && want.is_whole)) {
      const std::size_t room = std::min<std::uint64_t>(max_frame_ - wire::kMaxBlockHeader, credit_ - given_);
      const std::size_t size = std::min(room, want.bytes.size() - want.sent);
      if (size == 0 && *want.size > 0) return false;
      tell(wire::BlockChunk{.id = want.id,
                            .offset = static_cast<std::uint32_t>(want.sent),
                            .size = static_cast<std::uint32_t>(*want.size),
                            .bytes = BytesView(want.bytes).subspan(want.sent, size)});
      want.sent += size;
      given_ += size;
      if (want.sent == *want.size) return true;
    }
    return false;
  }

  void close() {
    if (std::exchange(closing_, true)) return;
    boost::asio::post(executor_, [weak = weak_from_this()] {
      const auto self = weak.lock();
      if (!self || self->stopped_) return;
      const auto on_closed = self->events_.on_closed;
      on_closed({ErrorCode::kUnavailable, self->gateway_ + " gives no blocks"});
    });
  }

  void tell(const wire::Message& message) {
    boost::asio::post(executor_, [weak = weak_from_this(), frame = wire::encode(message)]() mutable {
      const auto self = weak.lock();
      if (self && !self->stopped_) self->events_.on_message(std::move(frame));
    });
  }

  boost::asio::any_io_executor executor_;
  gateway::HttpClient& http_;
  const std::string gateway_;
  const Reach teller_;
  const HttpPeerEvents events_;
  std::uint32_t max_frame_ = wire::kMinFrame;
  std::uint64_t credit_ = 0;  ///< What the engine granted in all …
  std::uint64_t given_ = 0;   ///< … and what of that was used.
  std::deque<Want> wants_;
  int failures_ = 0;
  bool closing_ = false;
  bool stopped_ = false;
};

HttpPeer::HttpPeer(boost::asio::any_io_executor executor, gateway::HttpClient& http, std::string gateway, Reach teller,
                   HttpPeerEvents events)
    : impl_(std::make_shared<Impl>(std::move(executor), http, std::move(gateway), teller, std::move(events))) {
  impl_->start();
}
HttpPeer::~HttpPeer() { impl_->stop(); }

const std::string& HttpPeer::gateway() const { return impl_->gateway(); }
void HttpPeer::send(BytesView message) { impl_->send(message); }

}  // namespace codio::node
