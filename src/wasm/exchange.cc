// codio_wasm: the exchange.
#include "transfer/exchange.h"

#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "common/check.h"
#include "wasm/abi.h"
#include "wasm/record.h"

namespace codio::wasm {

using content_id::ContentId;
using transfer::PeerId;
using transfer::RequestId;
using transfer::TransferId;

struct Exchange {
  transfer::Exchange engine;
  std::vector<double> progress;
  /// Keeps alive what the record points to.
  std::optional<transfer::Output> current;
};

namespace {

Time to_time(double milliseconds) { return Time(Duration(static_cast<Duration::rep>(milliseconds * 1000))); }

double to_milliseconds(Time time) { return static_cast<double>(time.time_since_epoch().count()) / 1000; }

struct Fill {
  Exchange& exchange;

  void operator()(const transfer::SendMessage& output) const {
    set(OutputKind::kSend, output.peer.value);
    set_bytes(output.message);
  }
  void operator()(const transfer::ClosePeer& output) const {
    set(OutputKind::kClosePeer, output.peer.value);
    set_error(output.reason);
  }
  void operator()(const transfer::VerifyPeer& output) const {
    static_assert(sizeof(output.proof) == 96 && std::has_unique_object_representations_v<transfer::wire::Proof>);
    set(OutputKind::kVerifyPeer, output.peer.value);
    set_bytes({output.proof.key.data(), sizeof(output.proof)});
  }
  void operator()(const transfer::LoadBlock& output) const {
    set(OutputKind::kLoad, output.request.value);
    the_record.code = output.for_peer ? 1 : 0;
    set_text(output.cid.to_v1().to_string());
  }
  void operator()(const transfer::StoreBlock& output) const {
    set(OutputKind::kStore);
    set_text(output.cid.to_v1().to_string());
    set_bytes(*output.block);
  }
  void operator()(const transfer::HashBytes& output) const {
    set(OutputKind::kHash, output.request.value);
    the_record.code = static_cast<std::uint32_t>(output.code);
    set_bytes(*output.bytes);
  }
  void operator()(const transfer::AskGateway& output) const {
    set(OutputKind::kAskGateway, output.request.value);
    the_record.code = static_cast<std::uint32_t>(output.cid.multihash().code());
    set_text(output.cid.to_string());
    set_bytes(output.cid.multihash().digest());
  }
  void operator()(const transfer::CancelGateway& output) const {
    set(OutputKind::kCancelGateway, output.request.value);
  }
  void operator()(const transfer::SetWakeup& output) const {
    set(OutputKind::kWakeup);
    the_record.a = output.at ? to_milliseconds(*output.at) : -1;
  }
  void operator()(const transfer::FindProviders& output) const {
    set(OutputKind::kFindProviders, output.transfer.value);
    set_text(output.root.to_string());
  }
  void operator()(const transfer::EntityFound& output) const {
    set(OutputKind::kEntity, output.transfer.value);
    the_record.a = static_cast<double>(output.entity.size);
  }
  void operator()(const transfer::Data& output) const {
    set(OutputKind::kData, output.transfer.value);
    set_bytes(output.segment.view());
    the_record.a = static_cast<double>(output.segment.offset);
  }
  void operator()(const transfer::EntryFound&) const {
    // Only a transfer of Scope::kEntity gives entries; this ABI starts none.
    check(false);
  }
  void operator()(const transfer::BlockReceived& output) const {
    set(OutputKind::kReceived, output.transfer.value);
    the_record.code = static_cast<std::uint32_t>(output.source);
    the_record.a = output.peer.value;
    the_record.b = static_cast<double>(output.size);
  }
  void operator()(const transfer::ProgressMade& output) const {
    set(OutputKind::kProgress, output.progress.transfer.value);
    const transfer::Progress& progress = output.progress;
    const double remaining = progress.remaining ? static_cast<double>(progress.remaining->count()) / 1000 : -1;
    const double total = progress.total ? static_cast<double>(*progress.total) : -1;
    const auto add = [this](std::initializer_list<double> values) {
      for (const double value : values) exchange.progress.push_back(value);
    };
    exchange.progress.clear();
    add({static_cast<double>(progress.received), total, static_cast<double>(progress.verified),
         static_cast<double>(progress.from_store), static_cast<double>(progress.from_peers),
         static_cast<double>(progress.from_gateways), static_cast<double>(progress.duplicates), progress.rate,
         progress.average_rate, remaining});
    for (const transfer::PeerShare& share : progress.peers) {
      add({static_cast<double>(share.peer.value), static_cast<double>(share.bytes), share.rate});
    }
    set_bytes(
        {reinterpret_cast<const std::uint8_t*>(exchange.progress.data()), exchange.progress.size() * sizeof(double)});
  }
  void operator()(const transfer::Finished& output) const { set(OutputKind::kFinished, output.transfer.value); }
  void operator()(const transfer::Failed& output) const {
    set(OutputKind::kFailed, output.transfer.value);
    set_error(output.error);
  }
};

std::vector<std::string> split_path(std::string_view path) {
  std::vector<std::string> names;
  while (!path.empty()) {
    const std::size_t end = std::min(path.find('/'), path.size());
    if (end > 0) names.emplace_back(path.substr(0, end));
    path.remove_prefix(std::min(end + 1, path.size()));
  }
  return names;
}

SharedBytes copy(const std::uint8_t* bytes, std::uint32_t size) { return share(Bytes(bytes, bytes + size)); }

}  // namespace

extern "C" {

Exchange* exchange_new(std::uint32_t policy, std::uint32_t has_gateways) {
  transfer::ExchangeOptions options;
  options.policy = static_cast<transfer::Policy>(policy);
  options.has_gateways = has_gateways != 0;
  return new Exchange{transfer::Exchange(options), {}, {}};
}

std::uint32_t exchange_poll(Exchange* exchange) {
  exchange->current.reset();
  set(OutputKind::kNone);
  if (auto output = exchange->engine.poll_output()) {
    std::visit(Fill{*exchange}, exchange->current.emplace(*std::move(output)));
  }
  return the_record.kind;
}

void exchange_set_limits(Exchange* exchange, double now, double upload_rate, double download_rate,
                         std::uint32_t upload_slots) {
  const auto to_rate = [](double rate) {
    return rate < 0 ? std::nullopt : std::optional(static_cast<std::uint64_t>(rate));
  };
  exchange->engine.set_limits(
      to_time(now),
      {.upload_rate = to_rate(upload_rate), .download_rate = to_rate(download_rate), .upload_slots = upload_slots});
}

std::uint32_t exchange_download(Exchange* exchange, double now, const char* address, std::uint32_t size, double begin,
                                double end) {
  set(OutputKind::kNone);
  const std::string_view whole(address, size);
  const std::string_view cid = whole.substr(0, whole.find('/'));
  const auto root = ContentId::parse(cid);
  if (!root) {
    set_error(root.error());
    return 0;
  }
  set_text(root->to_string());
  transfer::DownloadOptions options;
  options.traversal.path = split_path(whole.substr(cid.size()));
  options.traversal.range.begin = static_cast<std::uint64_t>(begin);
  if (end >= 0) options.traversal.range.end = static_cast<std::uint64_t>(end);
  return exchange->engine.download(to_time(now), *root, options).value;
}

void exchange_cancel(Exchange* exchange, double now, std::uint32_t transfer) {
  exchange->engine.cancel(to_time(now), TransferId{transfer});
}

void exchange_consume(Exchange* exchange, double now, std::uint32_t transfer, double bytes) {
  exchange->engine.consume(to_time(now), TransferId{transfer}, static_cast<std::uint64_t>(bytes));
}

void exchange_providers(Exchange* exchange, double now, std::uint32_t transfer, std::uint32_t pending) {
  exchange->engine.handle_providers(to_time(now), TransferId{transfer}, pending);
}

void exchange_peer_connected(Exchange* exchange, double now, std::uint32_t peer, std::uint32_t transfer,
                             const std::uint8_t* proof, std::uint32_t must_prove) {
  const auto provides = transfer == 0 ? std::nullopt : std::optional(TransferId{transfer});
  transfer::Introduction introduction{.must_prove = must_prove != 0};
  if (proof != nullptr) std::memcpy(&introduction.proof.emplace(), proof, sizeof(transfer::wire::Proof));
  exchange->engine.handle_peer_connected(to_time(now), PeerId{peer}, provides, introduction);
}

void exchange_verified(Exchange* exchange, double now, std::uint32_t peer, std::uint32_t is_proven) {
  exchange->engine.handle_verified(to_time(now), PeerId{peer}, is_proven != 0);
}

void exchange_peer_provides(Exchange* exchange, double now, std::uint32_t peer, std::uint32_t transfer) {
  exchange->engine.handle_peer_provides(to_time(now), PeerId{peer}, TransferId{transfer});
}

void exchange_peer_disconnected(Exchange* exchange, double now, std::uint32_t peer) {
  exchange->engine.handle_peer_disconnected(to_time(now), PeerId{peer});
}

void exchange_message(Exchange* exchange, double now, std::uint32_t peer, const std::uint8_t* bytes,
                      std::uint32_t size) {
  exchange->engine.handle_message(to_time(now), PeerId{peer}, {bytes, size});
}

void exchange_buffered_amount(Exchange* exchange, double now, std::uint32_t peer, std::uint32_t bytes) {
  exchange->engine.handle_buffered_amount(to_time(now), PeerId{peer}, bytes);
}

void exchange_loaded(Exchange* exchange, double now, std::uint32_t request, const std::uint8_t* bytes,
                     std::uint32_t size) {
  exchange->engine.handle_loaded(to_time(now), RequestId{request}, copy(bytes, size));
}

void exchange_missing(Exchange* exchange, double now, std::uint32_t request) {
  exchange->engine.handle_loaded(to_time(now), RequestId{request}, nullptr);
}

void exchange_refused(Exchange* exchange, double now, std::uint32_t request) {
  exchange->engine.handle_refused(to_time(now), RequestId{request});
}

void exchange_hashed(Exchange* exchange, double now, std::uint32_t request, const std::uint8_t* digest,
                     std::uint32_t size) {
  exchange->engine.handle_hashed(to_time(now), RequestId{request}, {digest, size});
}

void exchange_gateway_block(Exchange* exchange, double now, std::uint32_t request, const std::uint8_t* bytes,
                            std::uint32_t size) {
  exchange->engine.handle_gateway_block(to_time(now), RequestId{request}, copy(bytes, size));
}

void exchange_gateway_failed(Exchange* exchange, double now, std::uint32_t request, std::uint32_t code,
                             const char* text, std::uint32_t size) {
  exchange->engine.handle_gateway_failed(to_time(now), RequestId{request},
                                         {static_cast<ErrorCode>(code), std::string(text, size)});
}

void exchange_wakeup(Exchange* exchange, double now) { exchange->engine.handle_wakeup(to_time(now)); }

double exchange_total(const Exchange* exchange, std::uint32_t which) {
  const transfer::Totals& totals = exchange->engine.totals();
  const std::uint64_t values[] = {totals.from_peers, totals.from_gateways, totals.uploaded, totals.duplicates};
  return static_cast<double>(values[which & 3]);
}
}

}  // namespace codio::wasm
