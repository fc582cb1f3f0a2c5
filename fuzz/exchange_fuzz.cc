// Drives an engine with two peers that do as they like, a gateway, a store, and a reader that stops and goes on. The
// input is a program: each step is an operation byte and its operands. Whatever happens, the engine says only what its
// protocol allows, sends no byte beyond the credit, hands out the right bytes and no more than the reader allows, and
// in the end holds on to nothing.
#include <algorithm>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "common/check.h"
#include "content_id/dag_pb.h"
#include "content_id/unixfs/data.h"
#include "fuzz/program.h"
#include "transfer/exchange.h"

using namespace codio;
using namespace codio::transfer;
using content_id::Codec;
using content_id::ContentId;
using content_id::Digest256;
using fuzz::Program;

namespace {

constexpr std::size_t kMaxOutputs = 10'000;
constexpr std::size_t kSlots = 2;

struct Block {
  ContentId cid;
  SharedBytes bytes;
};

Digest256 numbered_digest(std::size_t number) {
  Digest256 digest{};
  digest[0] = static_cast<std::uint8_t>(number);
  return digest;
}

/// Ten leaves of different sizes, a file and a directory of them, and a CID of a hash function that nobody can check.
const std::vector<Block>& pool() {
  static const std::vector<Block> blocks = [] {
    std::vector<Block> result;
    std::vector<content_id::DagPbLink> links;
    content_id::unixfs::Data data{.type = content_id::unixfs::DataType::kFile};
    std::uint64_t total = 0;
    constexpr std::size_t kSizes[] = {0, 1, 100, 5'000, 9'000, 16'000, 70'000, 100'000, 200'000, 300'000};
    for (const std::size_t size : kSizes) {
      const auto cid = ContentId::v1(Codec::kRaw, numbered_digest(result.size()));
      result.push_back({cid, share(Bytes(size, static_cast<std::uint8_t>(result.size())))});
      if (size == 0) continue;
      links.push_back({cid, {}, size});
      data.block_sizes.push_back(size);
      total += size;
    }
    data.file_size = total;
    const Bytes file = encode_dag_pb(links, encode_data(data));
    result.push_back({ContentId::v1(Codec::kDagPb, numbered_digest(result.size())), share(file)});
    const content_id::DagPbLink entry{result.back().cid, "file", total + file.size()};
    const content_id::unixfs::Data directory{.type = content_id::unixfs::DataType::kDirectory};
    result.push_back({ContentId::v1(Codec::kDagPb, numbered_digest(result.size())),
                      share(encode_dag_pb(std::span(&entry, 1), encode_data(directory)))});
    const auto hash = content_id::Multihash::make(content_id::HashCode::kBlake3, numbered_digest(result.size()));
    result.push_back({ContentId::v1(Codec::kRaw, *hash), share({})});
    return result;
  }();
  return blocks;
}

/// What a download of the block's content gives; empty for a directory.
Bytes content_of(const ContentId& cid) {
  const auto& blocks = pool();
  const auto index = static_cast<std::size_t>(
      std::ranges::find_if(blocks, [&](const Block& block) { return block.cid == cid; }) - blocks.begin());
  if (index < 10) return *blocks[index].bytes;
  Bytes whole;
  for (std::size_t i = 0; i < 10 && index == 10; ++i) append(whole, *blocks[i].bytes);
  return whole;
}

const Block& find_block(const ContentId& cid) {
  return *std::ranges::find_if(pool(), [&](const Block& block) { return block.cid == cid; });
}

class Host {
 public:
  explicit Host(Program& program)
      : program_(program), options_(make_options(program, must_prove_)), exchange_(options_) {}

  void run() {
    for (int steps = 0; steps < 2000 && !program_.at_end(); ++steps) {
      step();
      drain();
    }
    end();
  }

 private:
  /// A download, as its reader sees it.
  struct Reader {
    Bytes content;
    bool is_file = false;  ///< Then Finished means that all of it came.
    std::uint64_t received = 0;
    std::uint64_t unconsumed = 0;
    std::uint64_t limit = 0;
  };

  /// A peer's channel, as the peer sees it.
  struct Channel {
    PeerId id;
    std::uint32_t max_frame = 0;  ///< That the peer told.
    std::uint64_t credit = 0;     ///< That the peer granted.
    std::uint64_t received = 0;   ///< Block data from the engine.
    std::uint32_t last_want = 0;
    bool met = false;                                                          ///< The engine said HELLO.
    std::map<wire::WantId, std::pair<wire::WantEntry, std::uint32_t>> wanted;  ///< By the engine, and bytes sent of it.
  };

  static ExchangeOptions make_options(Program& program, bool& must_prove) {
    ExchangeOptions options;
    const std::uint8_t flags = program.byte();
    options.policy = static_cast<Policy>(flags % 4);
    options.has_gateways = (flags & 4) == 0;
    must_prove = (flags & 32) != 0;
    options.max_frame = (flags & 8) != 0 ? wire::kMinFrame : (flags & 16) != 0 ? wire::kMaxFrame : wire::kDefaultFrame;
    return options;
  }

  const Block& some_block() { return pool()[program_.byte() % pool().size()]; }
  TransferId some_transfer() { return TransferId{last_transfer_ - std::min(last_transfer_, program_.byte() % 4U)}; }

  void step() {
    now_ += std::chrono::milliseconds(1);
    std::optional<Channel>& slot = channels_[program_.byte() % kSlots];
    switch (program_.byte() % 13) {
      case 0:
        if (slot) break;
        slot.emplace(PeerId{++last_peer_});
        exchange_.handle_peer_connected(now_, slot->id, some_optional_transfer(), {.must_prove = must_prove_});
        break;
      case 1:
        if (!slot) break;
        exchange_.handle_peer_disconnected(now_, slot->id);
        slot.reset();
        break;
      case 2:
      case 3:
      case 4:
        if (slot) send_message(*slot);
        break;
      case 5: give_chunk(slot); break;
      case 6: answer_load(); break;
      case 7: answer_hash(); break;
      case 8: answer_gateway(); break;
      case 9:
        now_ += std::chrono::milliseconds(10 * program_.number() % 100'000);
        exchange_.handle_wakeup(now_);
        break;
      case 10: command(); break;
      case 11:
        exchange_.handle_providers(now_, some_transfer(), program_.byte());
        if (slot) exchange_.handle_peer_provides(now_, slot->id, some_transfer());
        break;
      default:
        if (slot) exchange_.handle_buffered_amount(now_, slot->id, program_.byte() % 2 * 2 * kSendBuffer);
    }
  }

  std::optional<TransferId> some_optional_transfer() {
    if (program_.byte() % 2 == 0) return std::nullopt;
    return some_transfer();
  }

  void command() {
    switch (program_.byte() % 5) {
      case 0: {
        if (exchange_.transfer_count() >= 4) break;
        DownloadOptions options;
        options.unconsumed = program_.number();
        options.traversal.scope = static_cast<content_id::unixfs::Scope>(program_.byte() % 3);
        ContentId root = some_block().cid;
        Reader reader{.limit = options.unconsumed};
        if (options.traversal.scope == content_id::unixfs::Scope::kBytes) reader.content = content_of(root);
        reader.is_file = !reader.content.empty();
        if (program_.byte() % 4 == 0) {
          options.traversal.path = {"file"};
          reader.is_file = reader.is_file || root == pool()[11].cid;
          if (root == pool()[11].cid) reader.content = content_of(pool()[10].cid);
        }
        reader.is_file = reader.is_file && options.traversal.scope == content_id::unixfs::Scope::kBytes;
        last_transfer_ = exchange_.download(now_, root, options).value;
        readers_.emplace(TransferId{last_transfer_}, std::move(reader));
        break;
      }
      case 1: exchange_.cancel(now_, some_transfer()); break;
      case 4: {
        Limits limits;
        if (program_.byte() % 2 == 0) limits.upload_rate = 1024 * program_.number();
        if (program_.byte() % 2 == 0) limits.download_rate = 1024 * program_.number();
        limits.upload_slots = program_.byte() % 3;
        exchange_.set_limits(now_, limits);
        break;
      }
      default: {
        const TransferId transfer = some_transfer();
        const std::uint64_t bytes = program_.number();
        if (const auto reader = readers_.find(transfer); reader != readers_.end()) {
          reader->second.unconsumed -= std::min(bytes, reader->second.unconsumed);
        }
        exchange_.consume(now_, transfer, bytes);
      }
    }
  }

  wire::WantId some_id(const Channel& channel) {
    const std::uint64_t number = program_.number();
    if (channel.wanted.empty() || number >= 240) return wire::WantId{static_cast<std::uint32_t>(number)};
    return std::next(channel.wanted.begin(), static_cast<long>(number % channel.wanted.size()))->first;
  }

  void send_message(Channel& channel) {
    const auto id32 = [&] { return wire::WantId{static_cast<std::uint32_t>(program_.number())}; };
    switch (program_.byte() % 9) {
      case 0: return deliver(channel, program_.bytes());
      case 1: {
        const std::uint8_t first = program_.byte();
        wire::Hello hello{.version = first % 4U,
                          .max_frame = static_cast<std::uint32_t>(wire::kMinFrame + 1024 * program_.byte()),
                          .credit = 1024 * program_.number()};
        if ((first & 4) != 0) hello.proof = wire::Proof{.key = {first}, .signature = {}};
        channel.max_frame = std::min(hello.max_frame, wire::kMaxFrame);
        return grant(channel, hello.credit, hello);
      }
      case 2: {
        wire::Want want;
        for (int count = program_.byte(); count >= 0; --count) {
          channel.last_want += program_.byte() == 255 ? 0 : 1;
          want.entries.push_back({wire::WantId{channel.last_want}, pool()[channel.last_want % pool().size()].cid,
                                  static_cast<wire::WantKind>(count % 8 == 1)});
        }
        return deliver(channel, wire::encode(want));
      }
      case 3: return deliver(channel, wire::encode(wire::Have{{some_id(channel)}}));
      case 4:
        return deliver(channel,
                       wire::encode(wire::DontHave{.ids = {some_id(channel)},
                                                   .reason = static_cast<wire::DontHaveReason>(program_.byte() % 3)}));
      case 5: {
        const auto offset = static_cast<std::uint32_t>(program_.number());
        const auto size = static_cast<std::uint32_t>(program_.number());
        return deliver(channel, wire::encode(wire::BlockChunk{some_id(channel), offset, size, program_.bytes()}));
      }
      case 6: return deliver(channel, wire::encode(wire::Cancel{{id32(), id32()}}));
      case 7: {
        const std::uint64_t limit = channel.credit + 1024 * program_.number();
        return grant(channel, limit, wire::Credit{limit});
      }
      default:
        return deliver(channel, wire::encode(wire::Goodbye{static_cast<wire::GoodbyeCode>(program_.byte() % 5),
                                                           std::string(as_text(program_.bytes()))}));
    }
  }

  /// The engine may or may not take the message: the most that it may send is what counts.
  void grant(Channel& channel, std::uint64_t limit, const wire::Message& message) {
    channel.credit = std::max(channel.credit, limit);
    deliver(channel, wire::encode(message));
  }

  /// A message that the fuzzer wrote byte by byte may grant any credit.
  void deliver(Channel& channel, BytesView frame) {
    if (const auto message = wire::decode(frame); message && *message) {
      if (const auto* hello = std::get_if<wire::Hello>(&**message)) {
        channel.credit = std::max(channel.credit, hello->credit);
        channel.max_frame = std::max(channel.max_frame, hello->max_frame);
      }
      if (const auto* credit = std::get_if<wire::Credit>(&**message)) {
        channel.credit = std::max(channel.credit, credit->limit);
      }
    }
    exchange_.handle_message(now_, channel.id, frame);
  }

  /// The next bytes of a block that the engine wants, as an honest peer sends them.
  void give_chunk(std::optional<Channel>& slot) {
    if (!slot) return;
    for (auto& [id, want] : slot->wanted) {
      auto& [entry, sent] = want;
      if (entry.kind != wire::WantKind::kBlock) continue;
      const Bytes& block = *find_block(entry.cid).bytes;
      if (sent == block.size() && sent != 0) continue;
      const std::size_t size = std::min<std::size_t>(block.size() - sent, 16'000);
      const wire::BlockChunk chunk{id, sent, static_cast<std::uint32_t>(block.size()),
                                   BytesView(block).subspan(sent, size)};
      sent += static_cast<std::uint32_t>(size);
      const Bytes frame = wire::encode(chunk);
      if (block.empty()) slot->wanted.erase(id);
      return deliver(*slot, frame);
    }
  }

  template <class Request>
  std::optional<Request> take(std::deque<Request>& requests) {
    const std::size_t index = program_.byte();
    if (requests.empty()) return std::nullopt;
    const auto taken = requests.begin() + static_cast<long>(index % requests.size());
    Request request = std::move(*taken);
    requests.erase(taken);
    return request;
  }

  void answer_load() {
    const auto load = take(loads_);
    const std::uint8_t answer = program_.byte() % 4;
    if (!load) return;
    if (load->for_peer && answer == 3) return exchange_.handle_refused(now_, load->request);
    exchange_.handle_loaded(now_, load->request, answer == 0 ? find_block(load->cid).bytes : nullptr);
  }

  void answer_hash() {
    const auto hash = take(hashes_);
    if (!hash) return;
    for (std::size_t i = 0; i < pool().size(); ++i) {
      if (*pool()[i].bytes == *hash->bytes) return exchange_.handle_hashed(now_, hash->request, numbered_digest(i));
    }
    // Nobody knows bytes that have the digest of others.
    const BytesView other = program_.bytes();
    Bytes digest(other.begin(), other.end());
    if (digest.size() == Digest256().size()) digest.back() = 1;
    exchange_.handle_hashed(now_, hash->request, digest);
  }

  void answer_gateway() {
    const std::size_t index = program_.byte();
    const bool has_it = program_.byte() % 3 != 0;
    if (asked_.empty()) return;
    const auto asked = std::next(asked_.begin(), static_cast<long>(index % asked_.size()));
    const auto [request, cid] = *asked;
    asked_.erase(asked);
    if (has_it) {
      exchange_.handle_gateway_block(now_, request, find_block(cid).bytes);
    } else {
      exchange_.handle_gateway_failed(now_, request, {ErrorCode::kUnavailable, "no gateway"});
    }
  }

  void drain() {
    std::size_t count = 0;
    while (auto output = exchange_.poll_output()) {
      check(++count < kMaxOutputs);
      std::visit([&](auto& body) { carry_out(body); }, *output);
    }
  }

  void carry_out(SendMessage& output) {
    Channel& channel = find_channel(output.peer);
    const auto message = wire::decode(output.message);
    check(message && *message);
    check(std::holds_alternative<wire::Hello>(**message) != channel.met);
    channel.met = true;
    check(output.message.size() <= std::max(channel.max_frame, wire::kMinFrame));
    if (const auto* chunk = std::get_if<wire::BlockChunk>(&**message)) {
      channel.received += chunk->bytes.size();
      check(channel.received <= channel.credit);
    }
    if (const auto* want = std::get_if<wire::Want>(&**message)) {
      for (const wire::WantEntry& entry : want->entries) {
        check(channel.wanted.empty() || channel.wanted.rbegin()->first < entry.id);
        channel.wanted.emplace(entry.id, std::pair(entry, 0));
      }
    }
    if (const auto* cancel = std::get_if<wire::Cancel>(&**message)) {
      for (const wire::WantId id : cancel->ids) check(id.value != 0);
    }
  }
  void carry_out(ClosePeer& output) {
    for (auto& slot : channels_) {
      if (slot && slot->id == output.peer) slot.reset();
    }
    check(!exchange_.peer_stats(now_, output.peer));
  }
  void carry_out(VerifyPeer& output) {
    check(must_prove_);
    const bool is_proven = (output.proof.key[0] & 8) != 0;
    exchange_.handle_verified(now_, output.peer, is_proven);
    check(exchange_.peer_stats(now_, output.peer).has_value() == is_proven);
  }
  void carry_out(LoadBlock& output) { loads_.push_back(output); }
  void carry_out(StoreBlock& output) { check(output.block != nullptr); }
  void carry_out(HashBytes& output) {
    check(output.bytes->size() <= 2 * 1024 * 1024);
    hashes_.push_back(std::move(output));
  }
  void carry_out(AskGateway& output) {
    check(options_.has_gateways && options_.policy != Policy::kP2pOnly);
    asked_.emplace(output.request, output.cid);
  }
  void carry_out(CancelGateway& output) { check(asked_.erase(output.request) == 1); }
  void carry_out(SetWakeup& output) { check(!output.at || *output.at >= now_); }
  void carry_out(FindProviders&) { check(options_.policy != Policy::kGatewayOnly); }
  void carry_out(EntityFound& output) { check_running(output.transfer); }
  void carry_out(Data& output) {
    check_running(output.transfer);
    check(output.segment.begin + output.segment.size <= output.segment.block->size());
    Reader& reader = readers_.at(output.transfer);
    check(reader.unconsumed < reader.limit);
    const BytesView bytes = output.segment.view();
    check(bytes.size() <= reader.content.size() - reader.received);
    check(std::ranges::equal(bytes, BytesView(reader.content).subspan(reader.received, bytes.size())));
    reader.received += bytes.size();
    reader.unconsumed += bytes.size();
  }
  void carry_out(EntryFound& output) { check_running(output.transfer); }
  void carry_out(BlockReceived& output) { check_running(output.transfer); }
  void carry_out(ProgressMade& output) {
    const Progress& progress = output.progress;
    check_running(progress.transfer);
    check(progress.received == readers_.at(progress.transfer).received);
    check(!progress.total || progress.received <= *progress.total);
    check(progress.verified == progress.from_store + progress.from_peers + progress.from_gateways);
  }
  void carry_out(Finished& output) {
    const Reader& reader = readers_.at(output.transfer);
    check(!reader.is_file || reader.received == reader.content.size());
    finish(output.transfer);
  }
  void carry_out(Failed& output) { finish(output.transfer); }

  void check_running(TransferId transfer) { check(transfer.value != 0 && !over_.contains(transfer)); }
  void finish(TransferId transfer) { check(over_.insert(transfer).second); }

  /// A message may be for a channel that ClosePeer is about to close, never for one that is closed.
  Channel& find_channel(PeerId peer) {
    const auto slot =
        std::ranges::find_if(channels_, [&](const auto& channel) { return channel && channel->id == peer; });
    check(slot != std::end(channels_));
    return **slot;
  }

  void end() {
    for (auto& slot : channels_) {
      if (slot) exchange_.handle_peer_disconnected(now_, slot->id);
      drain();
      slot.reset();
    }
    for (std::uint32_t id = 1; id <= last_transfer_; ++id) exchange_.cancel(now_, TransferId{id});
    drain();
    check(exchange_.transfer_count() == 0);
    check(asked_.empty());
    while (!loads_.empty()) answer_load();
    while (!hashes_.empty()) answer_hash();
    drain();
    check(exchange_.memory() == 0);
    now_ += std::chrono::hours(1);
    exchange_.handle_wakeup(now_);
    check(!exchange_.poll_output());
  }

  Program& program_;
  bool must_prove_ = false;  ///< Every peer.
  ExchangeOptions options_;
  Exchange exchange_;
  Time now_ = Time{} + std::chrono::hours(1);
  std::optional<Channel> channels_[kSlots];
  std::deque<LoadBlock> loads_;
  std::deque<HashBytes> hashes_;
  std::map<RequestId, ContentId> asked_;
  std::set<TransferId> over_;
  std::map<TransferId, Reader> readers_;
  std::uint32_t last_peer_ = 0;
  std::uint32_t last_transfer_ = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Program program({data, size});
  Host(program).run();
  return 0;
}
