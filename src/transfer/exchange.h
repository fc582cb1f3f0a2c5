// The engine: downloads DAGs from peers and gateways, and serves blocks to peers. Without I/O: the host moves bytes.
#pragma once

#include <algorithm>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "common/bytes.h"
#include "common/result.h"
#include "common/time.h"
#include "content_id/cid.h"
#include "content_id/unixfs/traversal.h"
#include "transfer/progress.h"
#include "transfer/rate_meter.h"
#include "transfer/receiver.h"
#include "transfer/scheduler/scheduler.h"
#include "transfer/sender.h"
#include "transfer/token_bucket.h"
#include "transfer/types.h"
#include "transfer/upload_slots.h"

namespace codio::transfer {

// What the host is to do, and what it may want to know. In the order in which they must be carried out.

struct SendMessage {
  PeerId peer;
  Bytes message;
};

/// Close the channel after what was sent. The peer is forgotten already. With kMalformed or kMismatch the host should
/// not connect to it again; with kForged not for a while to whomever the same rendezvous calls by that id.
struct ClosePeer {
  PeerId peer;
  Error reason;
};

/// Does this prove who the peer is? Answer handle_verified(), and give no message of the peer before.
struct VerifyPeer {
  PeerId peer;
  wire::Proof proof;
};

/// Look the block up locally; answer handle_loaded(), or handle_refused() if it is `for_peer` and not to be given.
struct LoadBlock {
  RequestId request;
  content_id::ContentId cid;
  bool for_peer = false;
};

/// Keep the verified block, if there is a place to keep it. A LoadBlock after it finds it, kept already or not yet.
struct StoreBlock {
  content_id::ContentId cid;
  SharedBytes block;
};

/// Answer handle_hashed() with the digest of `bytes`.
struct HashBytes {
  RequestId request;
  content_id::HashCode code;
  SharedBytes bytes;
};

/// Answer handle_gateway_block() with bytes that were verified against `cid`: a gateway client must check them itself
/// to know whether to move on to the next gateway.
struct AskGateway {
  RequestId request;
  content_id::ContentId cid;
};

/// The answer is not wanted any more.
struct CancelGateway {
  RequestId request;
};

/// Call handle_wakeup() at this time; nothing: no wakeup is needed. Replaces the one before.
struct SetWakeup {
  std::optional<Time> at;
};

/// Search for providers of `root` and connect to some; report with handle_providers() and handle_peer_connected().
struct FindProviders {
  TransferId transfer;
  content_id::ContentId root;
};

/// What the transfer's path leads to.
struct EntityFound {
  TransferId transfer;
  content_id::unixfs::Entity entity;
};

/// The file's next bytes, in order. They count against DownloadOptions::unconsumed until consume().
struct Data {
  TransferId transfer;
  content_id::unixfs::Segment segment;
};

struct EntryFound {
  TransferId transfer;
  content_id::unixfs::DirectoryEntry entry;
};

enum class SourceKind : std::uint8_t { kStore, kPeer, kGateway };

/// A verified block counted for the transfer.
struct BlockReceived {
  TransferId transfer;
  SourceKind source;
  PeerId peer;  ///< Of kPeer.
  std::uint64_t size;
};

/// Something of the transfer came since the last one: at most every Exchange::kProgressInterval, and once before
/// Finished.
struct ProgressMade {
  Progress progress;
};

/// The transfer is complete and forgotten; all of its Data was given out.
struct Finished {
  TransferId transfer;
};

/// The transfer failed and is forgotten.
struct Failed {
  TransferId transfer;
  Error error;
};

using Output = std::variant<SendMessage, ClosePeer, VerifyPeer, LoadBlock, StoreBlock, HashBytes, AskGateway,
                            CancelGateway, SetWakeup, FindProviders, EntityFound, Data, EntryFound, BlockReceived,
                            ProgressMade, Finished, Failed>;

/// Who meets at the opening of a channel: docs/protocol.md §4.
struct Introduction {
  /// Ours; nothing: we are anonymous.
  std::optional<wire::Proof> proof = {};
  /// The peer was found under the id of a key, and has to prove it.
  bool must_prove = false;
};

/// Bytes since the exchange began.
struct Totals {
  std::uint64_t from_peers = 0;     ///< Verified.
  std::uint64_t from_gateways = 0;  ///< Verified.
  std::uint64_t uploaded = 0;       ///< Block data sent.
  std::uint64_t duplicates = 0;     ///< Came and was not needed any more, or did not verify.
};

struct PeerStats {
  std::uint64_t downloaded = 0;  ///< Verified.
  std::uint64_t uploaded = 0;
  std::uint64_t window = 0;  ///< Credit window, in bytes.
  double download_rate = 0;  ///< Bytes a second, lately.
  double upload_rate = 0;
};

/// Life cycle of a download:
///
///     download() → LoadBlock → (not here) FindProviders, WANT / AskGateway → HashBytes → StoreBlock, BlockReceived
///                      └──(here)────────────────────────────────────────────────→ Data … → Finished | Failed
///
/// Grammar: `handle_*` for what happened outside, verbs for commands, then poll_output() until it returns nothing, each
/// time. Messages come first, as peers wait for them, and all else in its order. Time never goes backwards. Not
/// thread-safe; deterministic: the same calls give the same outputs.
///
/// Memory: block data of downloads within ExchangeOptions::memory, and at most one block for each download and each
/// peer beyond; blocks to be sent within the same again, and one for each upload slot. See memory().
class Exchange {
 public:
  /// Blocks that one download has under way at a time, if memory allows: fills a long path with small blocks.
  static constexpr std::size_t kMaxOpenBlocks = 256;
  static constexpr Duration kProgressInterval = std::chrono::milliseconds(250);

  explicit Exchange(const ExchangeOptions& options = {});
  ~Exchange();
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;

  std::optional<Output> poll_output();

  // Downloads.
  TransferId download(Time now, const content_id::ContentId& root, const DownloadOptions& options = {});
  /// Forgets it without Finished or Failed. One that is over is ignored, here and below.
  void cancel(Time now, TransferId transfer);
  void consume(Time now, TransferId transfer, std::uint64_t bytes);
  /// How many providers found for the transfer are still being connected. Call it when the search ended, and whenever
  /// that number changes; before the first call the search counts as running.
  void handle_providers(Time now, TransferId transfer, std::uint32_t pending);

  // Limits.
  void set_limits(Time now, const Limits& limits);
  const Limits& limits() const { return options_.limits; }

  // Peers.
  /// A channel opened. `provides`: the transfer for whose root the peer was found.
  void handle_peer_connected(Time now, PeerId peer, std::optional<TransferId> provides,
                             const Introduction& introduction = {});
  /// A connected peer was found to provide the transfer's root.
  void handle_peer_provides(Time now, PeerId peer, TransferId transfer);
  void handle_peer_disconnected(Time now, PeerId peer);
  void handle_message(Time now, PeerId peer, BytesView message);
  /// The channel still holds `bytes` of what was sent. To be called after a drain that sent to the peer, and when the
  /// amount falls to a quarter of kSendBuffer.
  void handle_buffered_amount(Time now, PeerId peer, std::size_t bytes);

  // Answers.
  void handle_verified(Time now, PeerId peer, bool is_proven);
  void handle_loaded(Time now, RequestId request, SharedBytes block_or_null);
  /// Peers do not get the block, whether it is here or not, and are not told when it comes.
  void handle_refused(Time now, RequestId request);
  void handle_hashed(Time now, RequestId request, BytesView digest);
  void handle_gateway_block(Time now, RequestId request, const SharedBytes& block);
  void handle_gateway_failed(Time now, RequestId request, Error error);
  void handle_wakeup(Time now);

  const Totals& totals() const { return totals_; }
  std::optional<PeerStats> peer_stats(Time now, PeerId peer);
  /// Nothing of one that is over.
  std::optional<Progress> progress(Time now, TransferId transfer);
  std::size_t transfer_count() const { return transfers_.size(); }
  /// Bytes of block data that downloads hold.
  std::uint64_t memory() const;

 private:
  using Cid = content_id::ContentId;

  struct Peer {
    Receiver receiver;
    Sender sender;
    bool said_hello = false;
    bool must_prove = false;
    std::optional<wire::Hello> unproven;  ///< Counts once it is.
    std::uint32_t max_frame = wire::kDefaultFrame;
    std::vector<wire::WantEntry> wants;            ///< To go out in the next WANT.
    std::vector<wire::WantId> cancels;             ///< In the next CANCEL.
    std::map<wire::WantId, TransferId> questions;  ///< WANT have, and for which transfer.
    /// Cancelled wants whose bytes may still come, and for which transfer they were.
    std::map<wire::WantId, TransferId> late;
    std::map<wire::WantId, Receiver::OpenWant> lacked;  ///< Answered DONT_HAVE: a HAVE may follow.
    std::map<Cid, wire::WantId> missed;                 ///< What we answered so.
    std::uint64_t downloaded = 0;
    RateMeter download_rate;
    RateMeter upload_rate;
    Time active_at;

    Peer(Time now, const CreditWindowOptions& credit) : receiver(credit), active_at(now) {}
  };

  struct Transfer {
    Cid root;
    content_id::unixfs::ByteRange range;
    content_id::unixfs::Traversal traversal;
    std::uint64_t unconsumed_limit;
    std::uint64_t unconsumed = 0;
    std::size_t open_blocks = 0;
    bool entity_given = false;
    bool searched = false;
    Time searched_at{};
    Time progress_at;
    std::optional<Time> missing_since;  ///< A block that it needs.
    Time began_at;
    Progress progress;  ///< Without what is computed when it is told.
    RateMeter rate;
    bool has_news = false;
    Time told_at;

    Transfer(Time now, TransferId id, const Cid& given, const DownloadOptions& options)
        : root(given),
          range(options.traversal.range),
          traversal(given, options.traversal),
          unconsumed_limit(options.unconsumed),
          progress_at(now),
          began_at(now),
          progress{.transfer = id},
          told_at(now) {}
  };

  /// Before anyone is asked for the block.
  struct LoadForDownload {
    Cid cid;
    std::set<TransferId> waiting;
  };
  struct LoadForPeer {
    PeerId peer;
    wire::WantId want;
    Cid cid;
    wire::WantKind kind;
    bool came_meanwhile = false;  ///< The block, from elsewhere: the answer may be from before.
  };
  struct Hashing {
    Cid cid;
    SharedBytes block;
    PeerId peer;
  };
  struct Asking {
    Cid cid;
  };
  using Request = std::variant<LoadForDownload, LoadForPeer, Hashing, Asking>;

  /// Nothing if the request was cancelled meanwhile.
  template <class Kind>
  std::optional<Kind> take_request(RequestId request);
  /// The one of that kind for the block; the end if there is none.
  template <class Kind>
  std::map<RequestId, Request>::iterator find_request(const Cid& cid);
  RequestId add_request(Request request);
  void output(Output output) {
    auto& queue = std::holds_alternative<SendMessage>(output) ? messages_ : outputs_;
    queue.push_back(std::move(output));
  }

  void handle(Time now, PeerId peer, const wire::Hello& hello);
  void handle(Time now, PeerId peer, const wire::Want& want);
  void handle(Time now, PeerId peer, const wire::Have& have);
  void handle(Time now, PeerId peer, const wire::DontHave& dont_have);
  void handle(Time now, PeerId peer, const wire::BlockChunk& chunk);
  void handle(Time now, PeerId peer, const wire::Cancel& cancel);
  void handle(Time now, PeerId peer, const wire::Credit& credit);
  void handle(Time now, PeerId peer, const wire::Goodbye& goodbye);

  /// Everything that follows from what was just told: until nothing moves.
  void drive(Time now);
  void drive_transfer(Time now, TransferId id);
  void drive_requests(Time now);
  void drive_missing(Time now);
  void drive_peer(Time now, PeerId id, Peer& peer);
  void grant(Time now);
  void serve(Time now);
  void forget_idle(Time now);
  void set_wakeup(Time now);
  /// Peers in turn: no one is always first.
  std::vector<PeerId> peers_after(PeerId peer) const;

  std::uint64_t held() const;
  std::size_t room_for_blocks(const Transfer& transfer) const;
  void count_duplicate(TransferId transfer, std::uint64_t bytes);
  void tell_progress(Time now, TransferId id, Transfer& transfer);
  Progress snapshot(Time now, Transfer& transfer);

  template <class Body>
  void send(PeerId id, const Body& body) {
    send_frame(id, wire::encode(body));
  }
  void send_frame(PeerId id, Bytes frame);
  void drop_peer(PeerId id, wire::GoodbyeCode code, ErrorCode error, std::string_view message);
  void drop_peer(PeerId id, const Error& breach);
  void drop_unproven(PeerId id);
  void forget_peer(PeerId id);
  void refuse(PeerId id, std::vector<wire::WantId> wants, wire::DontHaveReason reason);
  static void note_missed(Peer& peer, const Cid& cid, wire::WantId want);
  void tell_who_missed(const Cid& cid);
  void ask_whether_it_has(Time now, PeerId id, TransferId transfer);
  void search(Time now, TransferId id);
  void search_again(Time now, TransferId id);
  void accept(Time now, const Cid& cid, const SharedBytes& block, SourceKind source, PeerId peer);
  bool has_question(TransferId id) const;
  void cancel_request(const Cid& cid, std::optional<PeerId> source, TransferId transfer);
  void forget_transfer(Time now, TransferId id);
  void fail_transfer(Time now, TransferId id, Error error);

  ExchangeOptions options_;
  Scheduler scheduler_;
  UploadSlots slots_;
  TokenBucket uploads_;
  TokenBucket downloads_;
  PeerId last_served_{};
  PeerId last_granted_{};
  std::list<Output> messages_;  ///< A queue, as others below are: a page downloads less than with std::deque.
  std::list<Output> outputs_;   ///< All else.
  std::map<PeerId, Peer> peers_;
  std::map<TransferId, Transfer> transfers_;
  std::map<RequestId, Request> requests_;
  std::uint32_t last_transfer_ = 0;
  std::uint32_t last_request_ = 0;
  std::optional<Time> wakeup_;
  std::uint64_t hashing_bytes_ = 0;
  Totals totals_;
};

template <class Kind>
std::optional<Kind> Exchange::take_request(RequestId request) {
  const auto found = requests_.find(request);
  if (found == requests_.end() || !std::holds_alternative<Kind>(found->second)) return std::nullopt;
  std::optional<Kind> taken(std::move(std::get<Kind>(found->second)));
  requests_.erase(found);
  return taken;
}

template <class Kind>
std::map<RequestId, Exchange::Request>::iterator Exchange::find_request(const Cid& cid) {
  return std::find_if(requests_.begin(), requests_.end(), [&](const auto& entry) {
    const Kind* request = std::get_if<Kind>(&entry.second);
    return request != nullptr && request->cid == cid;
  });
}

}  // namespace codio::transfer
