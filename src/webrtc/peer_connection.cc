// Two threads meet here. The owner's has Connection and the events; libwebrtc's has Link and everything of libwebrtc.
// What the owner says is posted to libwebrtc's thread; what happens there is collected in an Inbox that is posted to
// the owner.
#include "webrtc/peer_connection.h"

#include <algorithm>
#include <api/async_resolver_factory.h>
#include <api/jsep.h>
#include <api/peer_connection_interface.h>
#include <atomic>
#include <mutex>
#include <optional>
#include <pc/srtp_session.h>
#include <rtc_base/logging.h>
#include <rtc_base/ssl_stream_adapter.h>
#include <rtc_base/thread.h>
#include <utility>
#include <variant>

#include <p2p/base/basic_packet_socket_factory.h>

#include "common/check.h"
#include "webrtc/sctp_factory.h"

namespace codio::webrtc {
namespace {

constexpr std::size_t kMaxDescription = 64 * 1024;
constexpr std::size_t kMaxCandidate = 4096;
constexpr std::size_t kMaxCandidates = 128;  // From the other side, besides those in its descriptions.
/// Of a socket, for packets that libwebrtc's thread has not come to. Linux' own, 208 KiB with some 1.4 for each packet
/// besides its bytes, is full after 110 KB: of 4 MiB between two nodes of one machine a twentieth was lost, and one in
/// five such downloads waited for SCTP to send the last again, 0.4 to 6 s. The system cuts it to its net.core.rmem_max.
constexpr int kReceiveBuffer = 2 << 20;
constexpr std::size_t kMaxUndelivered =
    8 << 20;  // Bytes that the owner has not yet seen; no honest peer has that credit.

using Post = PeerConnectionFactory::Post;

struct LocalDescription {
  std::string sdp;
};
struct Opened {};
struct BufferedAmount {
  std::size_t bytes;
};
using Message = rtc::CopyOnWriteBuffer;  // Shares what libwebrtc put together.
using Event = std::variant<LocalDescription, IceCandidate, IceServerFailure, Opened, Message, BufferedAmount, Error>;

/// Events on their way to the owner: posted once for all that gather while the owner is busy.
class Inbox : public std::enable_shared_from_this<Inbox> {
 public:
  Inbox(PeerConnectionEvents events, const Post& post) : events_(std::move(events)), post_(post) {}

  /// False, and the event is dropped, if too many bytes wait. On libwebrtc's thread.
  bool push(Event event) {
    const auto* message = std::get_if<Message>(&event);
    {
      const std::lock_guard lock(mutex_);
      if (message != nullptr) {
        if (undelivered_ + message->size() > kMaxUndelivered) return false;
        undelivered_ += message->size();
      }
      waiting_.push_back(std::move(event));
      if (std::exchange(is_posted_, true)) return true;
    }
    post_([self = shared_from_this()] { self->deliver(); });
    return true;
  }

  /// No event comes after this. On the owner's thread.
  void close() { is_closed_ = true; }

 private:
  void deliver() {
    std::vector<Event> events;
    {
      const std::lock_guard lock(mutex_);
      events.swap(waiting_);
      is_posted_ = false;
      undelivered_ = 0;
    }
    for (Event& event : events) {
      if (is_closed_) return;
      std::visit([this](auto& one) { tell(one); }, event);
    }
  }

  void tell(LocalDescription& description) {
    if (events_.on_local_description) events_.on_local_description(std::move(description.sdp));
  }
  void tell(IceCandidate& candidate) {
    if (events_.on_local_candidate) events_.on_local_candidate(std::move(candidate));
  }
  void tell(IceServerFailure& failure) {
    if (events_.on_server_failure) events_.on_server_failure(std::move(failure));
  }
  void tell(Opened& /*event*/) {
    if (events_.on_open) events_.on_open();
  }
  void tell(const Message& message) {
    if (events_.on_message) events_.on_message({message.cdata(), message.size()});
  }
  void tell(BufferedAmount& amount) {
    if (events_.on_buffered_amount) events_.on_buffered_amount(amount.bytes);
  }
  void tell(Error& reason) {
    is_closed_ = true;
    if (events_.on_closed) events_.on_closed(std::move(reason));
  }

  const PeerConnectionEvents events_;
  const Post& post_;
  bool is_closed_ = false;  // Of the owner's thread.
  std::mutex mutex_;
  std::vector<Event> waiting_;   // The rest is guarded by mutex_.
  std::size_t undelivered_ = 0;  // Bytes of messages in waiting_.
  bool is_posted_ = false;
};

/// Messages on their way to libwebrtc's thread, handed over together; and how much waits to be sent.
class Outbox {
 public:
  enum class Pushed { kNo, kYes, kFirst };

  /// On the owner's thread; after kFirst, take() must be called on libwebrtc's.
  Pushed push(BytesView message) {
    const std::size_t before = buffered_amount();
    if (!is_open_ || message.size() > kMaxMessage || before + message.size() > kMaxBuffered) return Pushed::kNo;
    rtc::CopyOnWriteBuffer copy(message.data(), message.size());
    const std::lock_guard lock(mutex_);
    waiting_bytes_ += message.size();
    if (before + message.size() > kLowWater) was_high_ = true;
    waiting_.push_back(std::move(copy));
    return std::exchange(is_posted_, true) ? Pushed::kYes : Pushed::kFirst;
  }

  std::size_t buffered_amount() const { return waiting_bytes_ + channel_bytes_; }

  // The rest on libwebrtc's thread.
  void set_open(bool is_open) { is_open_ = is_open; }

  std::vector<rtc::CopyOnWriteBuffer> take() {
    const std::lock_guard lock(mutex_);
    is_posted_ = false;
    return std::exchange(waiting_, {});
  }

  /// What libwebrtc has queued now, `taken` bytes of it or sent by it after take(). The amount, if it fell to the low
  /// water.
  std::optional<std::size_t> update(std::size_t channel_bytes, std::size_t taken) {
    channel_bytes_ = channel_bytes;
    waiting_bytes_ -= taken;
    const std::size_t amount = buffered_amount();
    if (amount > kLowWater || !was_high_.exchange(false)) return std::nullopt;
    return amount;
  }

 private:
  std::atomic<bool> is_open_ = false;
  std::atomic<bool> was_high_ = false;
  std::atomic<std::size_t> waiting_bytes_ = 0;
  std::atomic<std::size_t> channel_bytes_ = 0;
  std::mutex mutex_;
  std::vector<rtc::CopyOnWriteBuffer> waiting_;
  bool is_posted_ = false;
};

/// Never answers. Candidates that have names are browsers' mDNS names: no resolver of ours knows them, and asking would
/// tell the names to a DNS server and keep a thread waiting.
class NoResolver final : public rtc::AsyncResolverInterface {
 public:
  void Start(const rtc::SocketAddress& /*address*/) override {}
  void Start(const rtc::SocketAddress& /*address*/, int /*family*/) override {}
  bool GetResolvedAddress(int /*family*/, rtc::SocketAddress* /*address*/) const override { return false; }
  int GetError() const override { return -1; }
  void Destroy(bool /*wait*/) override { delete this; }
};

class NoResolverFactory final : public ::webrtc::AsyncResolverFactory {
 public:
  rtc::AsyncResolverInterface* Create() override { return new NoResolver; }
};

using OnDone = std::function<void(const ::webrtc::RTCError&)>;

class LocalDescriptionSet : public ::webrtc::SetLocalDescriptionObserverInterface {
 public:
  explicit LocalDescriptionSet(OnDone done) : done_(std::move(done)) {}
  void OnSetLocalDescriptionComplete(::webrtc::RTCError error) override { done_(error); }

 private:
  const OnDone done_;
};

class RemoteDescriptionSet : public ::webrtc::SetRemoteDescriptionObserverInterface {
 public:
  explicit RemoteDescriptionSet(OnDone done) : done_(std::move(done)) {}
  void OnSetRemoteDescriptionComplete(::webrtc::RTCError error) override { done_(error); }

 private:
  const OnDone done_;
};

class SocketFactory final : public rtc::BasicPacketSocketFactory {
 public:
  using BasicPacketSocketFactory::BasicPacketSocketFactory;

  rtc::AsyncPacketSocket* CreateUdpSocket(const rtc::SocketAddress& address, std::uint16_t min_port,
                                          std::uint16_t max_port) override {
    rtc::AsyncPacketSocket* socket = BasicPacketSocketFactory::CreateUdpSocket(address, min_port, max_port);
    if (socket != nullptr) socket->SetOption(rtc::Socket::OPT_RCVBUF, kReceiveBuffer);
    return socket;
  }
};

// Whether a description is of data channels and nothing else: libwebrtc without its media engine must not see media.
bool is_data_only(std::string_view sdp) {
  int sections = 0;
  while (!sdp.empty()) {
    const std::string_view line = sdp.substr(0, sdp.find_first_of("\r\n"));
    if (line.starts_with("m=")) {
      if (!line.starts_with("m=application ") || ++sections > 1) return false;
    }
    sdp.remove_prefix(std::min(line.size() + 1, sdp.size()));
  }
  return sections == 1;
}

/// libwebrtc's side of one connection. All on libwebrtc's thread, but for the outbox. Keeps itself alive in what it
/// posts.
class Link final : public ::webrtc::PeerConnectionObserver,
                   public ::webrtc::DataChannelObserver,
                   public std::enable_shared_from_this<Link> {
 public:
  Link(rtc::Thread& thread, std::shared_ptr<Inbox> inbox, std::chrono::milliseconds open_timeout)
      : thread_(thread), inbox_(std::move(inbox)), open_timeout_(open_timeout) {}

  Outbox& outbox() { return outbox_; }

  void create(::webrtc::PeerConnectionFactoryInterface& factory,
              const ::webrtc::PeerConnectionInterface::RTCConfiguration& configuration) {
    ::webrtc::PeerConnectionDependencies dependencies(this);
    dependencies.async_resolver_factory = std::make_unique<NoResolverFactory>();
    auto connection = factory.CreatePeerConnectionOrError(configuration, std::move(dependencies));
    if (!connection.ok()) {
      return end(ErrorCode::kUnavailable, "cannot create a peer connection: ", connection.error().message());
    }
    connection_ = connection.MoveValue();
    ::webrtc::DataChannelInit init;
    init.negotiated = true;
    init.id = 0;
    init.ordered = true;
    auto channel = connection_->CreateDataChannelOrError("codio", &init);
    if (!channel.ok()) {
      return end(ErrorCode::kUnavailable, "cannot create a data channel: ", channel.error().message());
    }
    channel_ = channel.MoveValue();
    channel_->RegisterObserver(this);
  }

  void offer() {
    if (connection_ == nullptr) return;
    expect_open();
    set_local_description();
  }

  void handle_remote_description(const std::string& type, const std::string& sdp) {
    if (connection_ == nullptr) return;
    const auto kind = ::webrtc::SdpTypeFromString(type);
    if (kind != ::webrtc::SdpType::kOffer && kind != ::webrtc::SdpType::kAnswer) {
      return end(ErrorCode::kMalformed, "a description is neither offer nor answer", "");
    }
    if (sdp.size() > kMaxDescription || !is_data_only(sdp)) {
      return end(ErrorCode::kMalformed, "the other side's description is not of one data channel", "");
    }
    ::webrtc::SdpParseError error;
    auto description = ::webrtc::CreateSessionDescription(*kind, sdp, &error);
    if (description == nullptr) {
      return end(ErrorCode::kMalformed, "the other side's description: ", error.description.c_str());
    }
    if (kind == ::webrtc::SdpType::kOffer) expect_open();
    connection_->SetRemoteDescription(std::move(description),
                                      rtc::make_ref_counted<RemoteDescriptionSet>(
                                          [weak = weak_from_this(), kind = *kind](const ::webrtc::RTCError& failed) {
                                            if (const auto self = weak.lock())
                                              self->on_remote_description(kind, failed);
                                          }));
  }

  void handle_remote_candidate(const IceCandidate& candidate) {
    if (connection_ == nullptr || ++candidates_ > kMaxCandidates || candidate.candidate.size() > kMaxCandidate) return;
    if (!has_remote_description_) return early_candidates_.push_back(candidate);
    ::webrtc::SdpParseError error;
    std::unique_ptr<::webrtc::IceCandidateInterface> parsed(
        ::webrtc::CreateIceCandidate(candidate.mid, 0, candidate.candidate, &error));
    if (parsed != nullptr) connection_->AddIceCandidate(std::move(parsed), [](const ::webrtc::RTCError&) {});
  }

  void flush() {
    const auto messages = outbox_.take();
    std::size_t taken = 0;
    for (const auto& message : messages) {
      taken += message.size();
      if (channel_ != nullptr && !channel_->Send(::webrtc::DataBuffer(message, /*binary=*/true))) {
        end(ErrorCode::kUnavailable, "the data channel does not take a message", "");
      }
    }
    report_buffered(taken);
  }

  void shut_down() {
    is_ended_ = true;
    outbox_.set_open(false);
    if (channel_ != nullptr) channel_->UnregisterObserver();
    channel_ = nullptr;
    if (connection_ != nullptr) connection_->Close();
    connection_ = nullptr;
  }

  // PeerConnectionObserver
  void OnSignalingChange(::webrtc::PeerConnectionInterface::SignalingState /*state*/) override {}
  void OnDataChannel(rtc::scoped_refptr<::webrtc::DataChannelInterface> /*channel*/) override {
    end(ErrorCode::kMalformed, "the other side opened another data channel", "");
  }
  void OnIceGatheringChange(::webrtc::PeerConnectionInterface::IceGatheringState state) override {
    if (state == ::webrtc::PeerConnectionInterface::kIceGatheringComplete) tell_candidate({"", mid_});
  }
  void OnIceCandidate(const ::webrtc::IceCandidateInterface* candidate) override {
    IceCandidate ours;
    if (!candidate->ToString(&ours.candidate)) return;
    ours.mid = mid_ = candidate->sdp_mid();
    tell_candidate(std::move(ours));
  }
  void OnIceCandidateError(const std::string& /*address*/, int /*port*/, const std::string& url, int code,
                           const std::string& text) override {
    if (!is_ended_) inbox_->push(IceServerFailure{url, code, text});
  }
  void OnConnectionChange(::webrtc::PeerConnectionInterface::PeerConnectionState state) override {
    if (state == ::webrtc::PeerConnectionInterface::PeerConnectionState::kFailed) {
      end(ErrorCode::kUnavailable,
          outbox_.buffered_amount() > 0 || is_open_ ? "the path to the peer was lost" : "there is no path to the peer",
          "");
    }
  }

  // DataChannelObserver
  void OnStateChange() override {
    switch (channel_->state()) {
      case ::webrtc::DataChannelInterface::kConnecting: break;
      case ::webrtc::DataChannelInterface::kOpen:
        is_open_ = true;
        outbox_.set_open(true);
        inbox_->push(Opened{});
        break;
      case ::webrtc::DataChannelInterface::kClosing:
      case ::webrtc::DataChannelInterface::kClosed:
        end(ErrorCode::kUnavailable, "the other side closed the connection", "");
        break;
    }
  }
  void OnMessage(const ::webrtc::DataBuffer& message) override {
    if (is_ended_) return;
    if (!message.binary || message.size() > kMaxMessage) {
      return end(ErrorCode::kMalformed, "the other side sent text, or a message over 256 KiB", "");
    }
    // libwebrtc makes a buffer as large as the largest before: shared, a byte could hold 256 KiB.
    const bool is_full = message.data.capacity() <= 2 * message.size();
    if (!inbox_->push(is_full ? message.data : Message(message.data.cdata(), message.size()))) {
      end(ErrorCode::kTooLarge, "the other side sends more than is read", "");
    }
  }
  void OnBufferedAmountChange(std::uint64_t /*sent*/) override { report_buffered(0); }

 private:
  void set_local_description() {
    connection_->SetLocalDescription(
        rtc::make_ref_counted<LocalDescriptionSet>([weak = weak_from_this()](const ::webrtc::RTCError& failed) {
          if (const auto self = weak.lock()) self->on_local_description(failed);
        }));
  }

  void on_local_description(const ::webrtc::RTCError& failed) {
    if (connection_ == nullptr || is_ended_) return;
    if (!failed.ok()) return end(ErrorCode::kUnavailable, "cannot describe the connection: ", failed.message());
    std::string sdp;
    check(connection_->local_description() != nullptr && connection_->local_description()->ToString(&sdp));
    inbox_->push(LocalDescription{std::move(sdp)});
    is_described_ = true;
    for (auto& candidate : std::exchange(undescribed_candidates_, {})) inbox_->push(std::move(candidate));
  }

  void on_remote_description(::webrtc::SdpType type, const ::webrtc::RTCError& failed) {
    if (connection_ == nullptr || is_ended_) return;
    if (!failed.ok()) return end(ErrorCode::kMalformed, "the other side's description: ", failed.message());
    has_remote_description_ = true;
    candidates_ -= early_candidates_.size();
    for (const auto& candidate : std::exchange(early_candidates_, {})) handle_remote_candidate(candidate);
    if (type == ::webrtc::SdpType::kOffer) set_local_description();
  }

  // A candidate would be refused on its way before the description that it belongs to.
  void tell_candidate(IceCandidate candidate) {
    if (is_ended_) return;
    if (is_described_) {
      inbox_->push(std::move(candidate));
    } else {
      undescribed_candidates_.push_back(std::move(candidate));
    }
  }

  void expect_open() {
    thread_.PostDelayedTask(
        [weak = weak_from_this()] {
          const auto self = weak.lock();
          if (self && !self->is_open_) {
            self->end(ErrorCode::kTimeout, "the connection did not open in time", "");
          }
        },
        ::webrtc::TimeDelta::Millis(open_timeout_.count()));
  }

  void report_buffered(std::size_t taken) {
    const auto amount = outbox_.update(channel_ == nullptr ? 0 : channel_->buffered_amount(), taken);
    if (amount && !is_ended_) inbox_->push(BufferedAmount{*amount});
  }

  // Tells the owner; libwebrtc may not be torn down from its own callbacks.
  void end(ErrorCode code, std::string_view what, const char* why) {
    if (std::exchange(is_ended_, true)) return;
    outbox_.set_open(false);
    inbox_->push(Error{code, std::string(what) + why});
    thread_.PostTask([self = shared_from_this()] { self->shut_down(); });
  }

  rtc::Thread& thread_;
  const std::shared_ptr<Inbox> inbox_;
  const std::chrono::milliseconds open_timeout_;
  Outbox outbox_;
  rtc::scoped_refptr<::webrtc::PeerConnectionInterface> connection_;
  rtc::scoped_refptr<::webrtc::DataChannelInterface> channel_;
  std::string mid_ = "0";
  bool is_described_ = false;
  std::vector<IceCandidate> undescribed_candidates_;
  bool has_remote_description_ = false;
  std::vector<IceCandidate> early_candidates_;
  std::size_t candidates_ = 0;
  bool is_open_ = false;
  bool is_ended_ = false;
};

/// The owner's side of one connection.
class Connection final : public PeerConnection {
 public:
  Connection(rtc::Thread& thread, std::shared_ptr<Inbox> inbox, std::shared_ptr<Link> link, std::size_t& count)
      : thread_(thread), inbox_(std::move(inbox)), link_(std::move(link)), count_(count) {
    ++count_;
  }
  ~Connection() override {
    close();
    --count_;
  }

  void offer() override {
    thread_.PostTask([link = link_] { link->offer(); });
  }
  void handle_remote_description(std::string_view type, std::string sdp) override {
    thread_.PostTask(
        [link = link_, type = std::string(type), sdp = std::move(sdp)] { link->handle_remote_description(type, sdp); });
  }
  void handle_remote_candidate(const IceCandidate& candidate) override {
    if (candidate.candidate.empty()) return;
    thread_.PostTask([link = link_, candidate] { link->handle_remote_candidate(candidate); });
  }

  bool send(BytesView message) override {
    if (is_closed_) return false;
    const auto pushed = link_->outbox().push(message);
    if (pushed == Outbox::Pushed::kFirst) thread_.PostTask([link = link_] { link->flush(); });
    return pushed != Outbox::Pushed::kNo;
  }
  std::size_t buffered_amount() const override { return link_->outbox().buffered_amount(); }

  void close() override {
    if (std::exchange(is_closed_, true)) return;
    inbox_->close();
    thread_.PostTask([link = link_] { link->shut_down(); });
  }

 private:
  rtc::Thread& thread_;
  const std::shared_ptr<Inbox> inbox_;
  const std::shared_ptr<Link> link_;
  std::size_t& count_;
  bool is_closed_ = false;
};

::webrtc::PeerConnectionInterface::IceServers to_libwebrtc(const std::vector<IceServer>& servers) {
  ::webrtc::PeerConnectionInterface::IceServers all;
  for (const IceServer& server : servers) {
    auto& one = all.emplace_back();
    one.urls = server.urls;
    one.username = server.username;
    one.password = server.credential;
  }
  return all;
}

}  // namespace

class PeerConnectionFactory::Runtime {
 public:
  Runtime(Options options, Post post)
      : options_(std::move(options)), post_(std::move(post)), thread_(rtc::Thread::CreateWithSocketServer()) {
    rtc::LogMessage::LogToDebug(rtc::LS_NONE);
    thread_->SetName("webrtc", nullptr);
    check(thread_->Start());
    thread_->BlockingCall([this] {
      // One thread for all that libwebrtc does: a message is handed from one to another of its threads nowhere.
      ::webrtc::PeerConnectionFactoryDependencies dependencies;
      dependencies.network_thread = dependencies.worker_thread = dependencies.signaling_thread = thread_.get();
      dependencies.sctp_factory = make_sctp_factory(*thread_);
      dependencies.packet_socket_factory = std::make_unique<SocketFactory>(thread_->socketserver());
      factory_ = ::webrtc::CreateModularPeerConnectionFactory(std::move(dependencies));
      check(factory_ != nullptr);
      ::webrtc::PeerConnectionFactoryInterface::Options factory_options;
      if (options_.use_loopback) factory_options.network_ignore_mask = 0;
      factory_->SetOptions(factory_options);
    });
    thread_->PostTask([this] { keep_libsrtp(); });
  }

  ~Runtime() {
    check(connections_ == 0);
    thread_->BlockingCall([this] {
      srtp_.reset();
      factory_ = nullptr;
    });
    thread_->Stop();
  }

  std::unique_ptr<PeerConnection> create(PeerConnectionEvents events) {
    auto inbox = std::make_shared<Inbox>(std::move(events), post_);
    auto link = std::make_shared<Link>(*thread_, inbox, options_.open_timeout);
    ::webrtc::PeerConnectionInterface::RTCConfiguration configuration;
    configuration.servers = to_libwebrtc(options_.ice_servers);
    if (options_.relay_only) configuration.type = ::webrtc::PeerConnectionInterface::kRelay;
    configuration.bundle_policy = ::webrtc::PeerConnectionInterface::kBundlePolicyMaxBundle;
    // Its TCP candidates are on random ports, which what blocks UDP blocks too; they cost a socket each.
    configuration.tcp_candidate_policy = ::webrtc::PeerConnectionInterface::kTcpCandidatePolicyDisabled;
    thread_->PostTask(
        [this, link, configuration = std::move(configuration)] { link->create(*factory_, configuration); });
    return std::make_unique<Connection>(*thread_, std::move(inbox), std::move(link), connections_);
  }

  void set_ice_servers(std::vector<IceServer> servers) { options_.ice_servers = std::move(servers); }

 private:
  // Every connection has an SRTP session, unused as it is, and the first of a process makes libsrtp test itself, which
  // takes 20 to 200 ms; again whenever there was none in between. This one stays.
  void keep_libsrtp() {
    constexpr std::uint8_t kKey[30] = {};
    srtp_.emplace();
    srtp_->SetSend(rtc::kSrtpAes128CmSha1_80, kKey, sizeof kKey, {});
  }

  Options options_;
  const Post post_;
  std::size_t connections_ = 0;
  std::unique_ptr<rtc::Thread> thread_;
  rtc::scoped_refptr<::webrtc::PeerConnectionFactoryInterface>
      factory_;  // This and the next are of libwebrtc's thread.
  std::optional<cricket::SrtpSession> srtp_;
};

PeerConnectionFactory::PeerConnectionFactory(Options options, Post post)
    : runtime_(std::make_unique<Runtime>(std::move(options), std::move(post))) {}

PeerConnectionFactory::~PeerConnectionFactory() = default;

std::unique_ptr<PeerConnection> PeerConnectionFactory::create(PeerConnectionEvents events) {
  return runtime_->create(std::move(events));
}

void PeerConnectionFactory::set_ice_servers(std::vector<IceServer> servers) {
  runtime_->set_ice_servers(std::move(servers));
}

}  // namespace codio::webrtc
