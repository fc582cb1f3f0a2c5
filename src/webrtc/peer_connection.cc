#include "webrtc/peer_connection.h"

#include <api/create_peerconnection_factory.h>
#include <api/jsep.h>
#include <api/peer_connection_interface.h>
#include <rtc_base/logging.h>
#include <rtc_base/ref_counted_object.h>
#include <rtc_base/rtc_certificate_generator.h>
#include <rtc_base/ssl_adapter.h>
#include <rtc_base/thread.h>

#include <atomic>
#include <deque>
#include <mutex>
#include <utility>

namespace codio::webrtc {
namespace {

namespace rtcapi = ::webrtc;

rtcapi::PeerConnectionInterface::RTCConfiguration make_configuration(
    const FactoryOptions& options, const rtc::scoped_refptr<rtc::RTCCertificate>& certificate) {
  rtcapi::PeerConnectionInterface::RTCConfiguration configuration;
  configuration.sdp_semantics = rtcapi::SdpSemantics::kUnifiedPlan;
  for (const IceServer& server : options.ice_servers) {
    rtcapi::PeerConnectionInterface::IceServer ice;
    ice.urls = server.urls;
    ice.username = server.username;
    ice.password = server.credential;
    configuration.servers.push_back(std::move(ice));
  }
  if (certificate) configuration.certificates.push_back(certificate);
  return configuration;
}

Error unavailable(std::string message) { return {ErrorCode::kUnavailable, std::move(message)}; }

}  // namespace

/// libwebrtc's thread and what all connections share.
class Runtime {
 public:
  Runtime(FactoryOptions options, PeerConnectionFactory::Post post)
      : options_(std::move(options)), post_(std::move(post)), thread_(rtc::Thread::CreateWithSocketServer()) {
    rtc::LogMessage::LogToDebug(rtc::LS_NONE);
    rtc::LogMessage::SetLogToStderr(false);
    thread_->SetName("webrtc", nullptr);
    thread_->Start();
    thread_->PostTask([this] {
      rtcapi::PeerConnectionFactoryDependencies dependencies;
      dependencies.network_thread = thread_.get();
      dependencies.worker_thread = thread_.get();
      dependencies.signaling_thread = thread_.get();
      factory_ = rtcapi::CreateModularPeerConnectionFactory(std::move(dependencies));
      rtcapi::PeerConnectionFactoryInterface::Options factory_options;
      if (options_.use_loopback) factory_options.network_ignore_mask = 0;
      factory_->SetOptions(factory_options);
      certificate_ = rtc::RTCCertificateGenerator::GenerateCertificate(rtc::KeyParams::ECDSA(), absl::nullopt);
    });
  }

  /// After the tear-down of every connection, which is posted before.
  void stop() {
    thread_->BlockingCall([this] { factory_ = nullptr; });
    thread_->Stop();
  }

  rtc::Thread& thread() { return *thread_; }
  void post(std::function<void()> task) const { post_(std::move(task)); }

  /// On the thread.
  rtc::scoped_refptr<rtcapi::PeerConnectionInterface> create(rtcapi::PeerConnectionObserver& observer) {
    auto made = factory_->CreatePeerConnectionOrError(make_configuration(options_, certificate_),
                                                      rtcapi::PeerConnectionDependencies(&observer));
    return made.ok() ? made.MoveValue() : nullptr;
  }

 private:
  FactoryOptions options_;
  PeerConnectionFactory::Post post_;
  std::unique_ptr<rtc::Thread> thread_;
  rtc::scoped_refptr<rtcapi::PeerConnectionFactoryInterface> factory_;
  /// One for all connections: making one takes longer than the rest of a connection's beginning.
  rtc::scoped_refptr<rtc::RTCCertificate> certificate_;
};

namespace {

/// What libwebrtc's thread and the owner's share of one connection. Members are marked with the thread that uses them.
class Channel : public std::enable_shared_from_this<Channel>,
                public rtcapi::PeerConnectionObserver,
                public rtcapi::DataChannelObserver {
 public:
  Channel(std::shared_ptr<Runtime> runtime, PeerConnectionEvents events)
      : runtime_(std::move(runtime)), events_(std::move(events)) {}

  // Owner's side.

  void start() {
    on_thread([](Channel& self) { self.open(); });
  }

  void offer() {
    on_thread([](Channel& self) {
      if (!self.connection_) return;
      self.connection_->CreateOffer(
          new rtc::RefCountedObject<DescriptionCreated>(self.weak_from_this()),
          rtcapi::PeerConnectionInterface::RTCOfferAnswerOptions());
    });
  }

  void handle_remote_description(std::string_view type, std::string sdp) {
    on_thread([is_offer = type == "offer", sdp = std::move(sdp)](Channel& self) {
      if (!self.connection_) return;
      rtcapi::SdpParseError problem;
      auto description = rtcapi::CreateSessionDescription(
          is_offer ? rtcapi::SdpType::kOffer : rtcapi::SdpType::kAnswer, sdp, &problem);
      if (!description) return self.fail(unavailable("the peer's description is malformed: " + problem.description));
      self.connection_->SetRemoteDescription(
          std::move(description),
          rtc::make_ref_counted<RemoteDescriptionSet>(self.weak_from_this(), is_offer));
    });
  }

  void handle_remote_candidate(const IceCandidate& candidate) {
    if (candidate.candidate.empty() || candidate.candidate.find(".local ") != std::string::npos) return;
    on_thread([candidate](Channel& self) {
      if (!self.connection_) return;
      std::unique_ptr<rtcapi::IceCandidateInterface> parsed(
          rtcapi::CreateIceCandidate(candidate.mid, 0, candidate.candidate, nullptr));
      if (parsed) self.connection_->AddIceCandidate(std::move(parsed), [](const rtcapi::RTCError&) {});
    });
  }

  void send(Bytes message) {
    if (message.size() > kMaxMessage || !is_open_) return;
    buffered_ += message.size();
    const std::lock_guard lock(mutex_);
    outgoing_.push_back(std::move(message));
    if (std::exchange(flushing_out_, true)) return;
    on_thread([](Channel& self) { self.flush_out(); });
  }

  std::size_t buffered_amount() const { return buffered_; }

  /// No event comes after this. The events stay: one of them may be calling.
  void close() {
    if (std::exchange(detached_, true)) return;
    on_thread([](Channel& self) { self.tear_down(); });
  }

 private:
  class DescriptionCreated : public rtcapi::CreateSessionDescriptionObserver {
   public:
    explicit DescriptionCreated(std::weak_ptr<Channel> channel) : channel_(std::move(channel)) {}
    void OnSuccess(rtcapi::SessionDescriptionInterface* description) override {
      std::unique_ptr<rtcapi::SessionDescriptionInterface> owned(description);
      if (const auto channel = channel_.lock()) channel->handle_created(std::move(owned));
    }
    void OnFailure(rtcapi::RTCError error) override {
      if (const auto channel = channel_.lock()) channel->fail(unavailable(error.message()));
    }

   private:
    std::weak_ptr<Channel> channel_;
  };

  class LocalDescriptionSet : public rtcapi::SetLocalDescriptionObserverInterface {
   public:
    explicit LocalDescriptionSet(std::weak_ptr<Channel> channel) : channel_(std::move(channel)) {}
    void OnSetLocalDescriptionComplete(rtcapi::RTCError error) override {
      if (const auto channel = channel_.lock(); channel && !error.ok()) channel->fail(unavailable(error.message()));
    }

   private:
    std::weak_ptr<Channel> channel_;
  };

  class RemoteDescriptionSet : public rtcapi::SetRemoteDescriptionObserverInterface {
   public:
    RemoteDescriptionSet(std::weak_ptr<Channel> channel, bool is_offer)
        : channel_(std::move(channel)), is_offer_(is_offer) {}
    void OnSetRemoteDescriptionComplete(rtcapi::RTCError error) override {
      const auto channel = channel_.lock();
      if (!channel) return;
      if (!error.ok()) return channel->fail(unavailable(std::string("the peer's description: ") + error.message()));
      if (is_offer_ && channel->connection_) {
        channel->connection_->CreateAnswer(new rtc::RefCountedObject<DescriptionCreated>(channel->weak_from_this()),
                                           rtcapi::PeerConnectionInterface::RTCOfferAnswerOptions());
      }
    }

   private:
    std::weak_ptr<Channel> channel_;
    bool is_offer_;
  };

  /// Runs `task(*this)` on libwebrtc's thread.
  template <class Task>
  void on_thread(Task task) {
    runtime_->thread().PostTask([self = shared_from_this(), task = std::move(task)]() mutable { task(*self); });
  }

  /// Runs `task(events)` on the owner's thread, unless it closed meanwhile.
  template <class Task>
  void on_owner(Task task) {
    runtime_->post([weak = weak_from_this(), task = std::move(task)]() mutable {
      const auto self = weak.lock();
      if (self && !self->detached_) task(*self);
    });
  }

  // libwebrtc's side.

  void open() {
    connection_ = runtime_->create(*this);
    if (!connection_) return fail(unavailable("libwebrtc could not make a connection"));
    rtcapi::DataChannelInit init;
    init.ordered = true;
    init.negotiated = true;
    init.id = 0;
    auto made = connection_->CreateDataChannelOrError("codio", &init);
    if (!made.ok()) return fail(unavailable(made.error().message()));
    channel_ = made.MoveValue();
    channel_->RegisterObserver(this);
  }

  void handle_created(std::unique_ptr<rtcapi::SessionDescriptionInterface> description) {
    if (!connection_) return;
    const bool is_offer = description->GetType() == rtcapi::SdpType::kOffer;
    std::string sdp;
    description->ToString(&sdp);
    if (!is_offer) {
      // As the DTLS server we wait for the other side's first flight. As the client, ours would be lost while the other
      // side is not ready, and OpenSSL sends it again only after a second.
      if (const auto at = sdp.find("a=setup:active"); at != std::string::npos) sdp.replace(at, 14, "a=setup:passive");
      description = rtcapi::CreateSessionDescription(rtcapi::SdpType::kAnswer, sdp, nullptr);
    }
    on_owner([sdp, is_offer](Channel& self) {
      if (self.events_.on_local_description) self.events_.on_local_description(sdp, is_offer);
    });
    connection_->SetLocalDescription(std::move(description),
                                     rtc::make_ref_counted<LocalDescriptionSet>(weak_from_this()));
  }

  void flush_out() {
    std::deque<Bytes> messages;
    {
      const std::lock_guard lock(mutex_);
      messages.swap(outgoing_);
      flushing_out_ = false;
    }
    for (const Bytes& message : messages) {
      if (!channel_) return;
      const rtcapi::DataBuffer buffer(rtc::CopyOnWriteBuffer(message.data(), message.size()), true);
      if (!channel_->Send(buffer)) return fail(unavailable("the channel does not take messages any more"));
    }
  }

  void OnBufferedAmountChange(std::uint64_t sent) override {
    const std::size_t before = buffered_.fetch_sub(static_cast<std::size_t>(sent));
    const std::size_t after = before - static_cast<std::size_t>(sent);
    if (before <= kLowWater || after > kLowWater) return;
    on_owner([after](Channel& self) {
      if (self.events_.on_buffered_amount) self.events_.on_buffered_amount(after);
    });
  }

  void OnMessage(const rtcapi::DataBuffer& buffer) override {
    const std::lock_guard lock(mutex_);
    incoming_.emplace_back(buffer.data.cdata(), buffer.data.cdata() + buffer.data.size());
    if (std::exchange(flushing_in_, true)) return;
    on_owner([](Channel& self) { self.flush_in(); });
  }

  /// On the owner's thread: several messages a wake-up when it is busy.
  void flush_in() {
    std::deque<Bytes> messages;
    {
      const std::lock_guard lock(mutex_);
      messages.swap(incoming_);
      flushing_in_ = false;
    }
    for (Bytes& message : messages) {
      if (detached_) return;
      if (events_.on_message) events_.on_message(std::move(message));
    }
  }

  void OnStateChange() override {
    if (!channel_) return;
    switch (channel_->state()) {
      case rtcapi::DataChannelInterface::kOpen:
        return on_owner([](Channel& self) {
          self.is_open_ = true;
          if (self.events_.on_open) self.events_.on_open();
        });
      case rtcapi::DataChannelInterface::kClosed: return fail(unavailable("the peer closed the connection"));
      default: return;
    }
  }

  void OnConnectionChange(rtcapi::PeerConnectionInterface::PeerConnectionState state) override {
    if (state == rtcapi::PeerConnectionInterface::PeerConnectionState::kFailed) {
      fail(unavailable("no network path to the peer works, or it went away"));
    }
  }

  void OnIceCandidate(const rtcapi::IceCandidateInterface* candidate) override {
    IceCandidate local{{}, candidate->sdp_mid()};
    if (!candidate->ToString(&local.candidate)) return;
    announce(std::move(local));
  }

  void OnIceGatheringChange(rtcapi::PeerConnectionInterface::IceGatheringState state) override {
    if (state == rtcapi::PeerConnectionInterface::kIceGatheringComplete) announce({{}, "0"});
  }

  void OnSignalingChange(rtcapi::PeerConnectionInterface::SignalingState) override {}
  void OnDataChannel(rtc::scoped_refptr<rtcapi::DataChannelInterface>) override {}

  void announce(IceCandidate candidate) {
    on_owner([candidate = std::move(candidate)](Channel& self) {
      if (self.events_.on_local_candidate) self.events_.on_local_candidate(candidate);
    });
  }

  /// The last event; the owner destroys the connection then.
  void fail(Error reason) {
    if (std::exchange(failed_, true)) return;
    on_owner([reason = std::move(reason)](Channel& self) {
      self.is_open_ = false;
      const auto on_closed = std::exchange(self.events_, {}).on_closed;
      if (on_closed) on_closed(reason);
    });
  }

  void tear_down() {
    failed_ = true;
    if (channel_) channel_->UnregisterObserver();
    channel_ = nullptr;
    if (connection_) connection_->Close();
    connection_ = nullptr;
  }

  std::shared_ptr<Runtime> runtime_;

  // The owner's.
  PeerConnectionEvents events_;
  bool detached_ = false;
  bool is_open_ = false;

  // libwebrtc's.
  rtc::scoped_refptr<rtcapi::PeerConnectionInterface> connection_;
  rtc::scoped_refptr<rtcapi::DataChannelInterface> channel_;
  bool failed_ = false;

  // Both.
  std::atomic<std::size_t> buffered_ = 0;
  std::mutex mutex_;
  std::deque<Bytes> outgoing_;
  std::deque<Bytes> incoming_;
  bool flushing_out_ = false;
  bool flushing_in_ = false;
};

class LibwebrtcConnection : public PeerConnection {
 public:
  explicit LibwebrtcConnection(std::shared_ptr<Channel> channel) : channel_(std::move(channel)) {}
  ~LibwebrtcConnection() override { channel_->close(); }
  LibwebrtcConnection(const LibwebrtcConnection&) = delete;
  LibwebrtcConnection& operator=(const LibwebrtcConnection&) = delete;

  void offer() override { channel_->offer(); }
  void handle_remote_description(std::string_view type, std::string sdp) override {
    channel_->handle_remote_description(type, std::move(sdp));
  }
  void handle_remote_candidate(const IceCandidate& candidate) override {
    channel_->handle_remote_candidate(candidate);
  }
  void send(Bytes message) override { channel_->send(std::move(message)); }
  std::size_t buffered_amount() const override { return channel_->buffered_amount(); }
  void close() override { channel_->close(); }

 private:
  std::shared_ptr<Channel> channel_;
};

}  // namespace

PeerConnectionFactory::PeerConnectionFactory(FactoryOptions options, Post post)
    : runtime_(std::make_shared<Runtime>(std::move(options), std::move(post))) {}

PeerConnectionFactory::~PeerConnectionFactory() { runtime_->stop(); }

std::unique_ptr<PeerConnection> PeerConnectionFactory::create(PeerConnectionEvents events) {
  auto channel = std::make_shared<Channel>(runtime_, std::move(events));
  channel->start();
  return std::make_unique<LibwebrtcConnection>(std::move(channel));
}

}  // namespace codio::webrtc
