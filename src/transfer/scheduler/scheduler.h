// Which block to ask of which source, and when to ask it of another one.
//
// clang-format off
// | tracked for   | what                           | why                                                            |
// |---------------|--------------------------------|----------------------------------------------------------------|
// | each block    | its place in its download      | soonest first, inner nodes before leaves; downloads take turns |
// |               | a place in an order of our own | who download the same should ask for different blocks          |
// |               | sources asked, what came of it | when it is due; late if another would halve that               |
// |               | sources that lack it           | not asked before they have it; the rarest goes first           |
// |               | whether it is an inner node    | all below waits for it: asked of one idle source after another |
// | each source   | rate and round trip            | holds rate × (round trip + margin); gets what it brings first  |
// |               | blocks asked, in order         | it serves them so: what lies before a block delays it          |
// |               | its credit                     | what lies within it is on its way and comes anyway             |
// |               | last byte, longest silence     | silent while it owes: a gateway helps, then others             |
// |               | whether it ever gave a byte    | whoever has not gets one block to show                         |
// |               | whether it ever lacked a block | then it downloads too, and our own order is worth something    |
// |               | transfers that it provides     | only providers of a root are asked for what is below           |
// | the gateway   | each request's share of it     | it sends all at once and whole: what has come can be guessed   |
// | each transfer | providers being connected      | a gateway waits for them up to the deadline, once              |
// |               | whether its order matters      | a file that is only kept is fetched rarest block first         |
// |               | whether all of it is asked for | then nobody gets a block that another would bring sooner       |
// |               | whether its reader waits       | its block is asked again even if it is on its way              |
// | all           | duplicate bytes, and what may  | idle sources help others at the end, within a budget           |
// |               | still come twice               |                                                                |
// clang-format on
//
// The gateway is one more source: with Policy::kFastest like any other, with kP2pFirst when no peer that is fast enough
// can bring the block or none has shown yet that it is.
#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "common/result.h"
#include "common/time.h"
#include "content_id/cid.h"
#include "transfer/types.h"

namespace codio::transfer {

/// Pure; not thread-safe; deterministic. Blocks are known by CID, sources by peer; no peer means the gateway.
///
/// Grammar: tell it what changed, then poll_assignment() until it returns nothing, and next_check() for when to come
/// back. What needs time is looked at on any call of poll_assignment(), so it works without timers as long as bytes
/// come.
class Scheduler {
 public:
  using Cid = content_id::ContentId;

  struct Assignment {
    Cid cid;
    std::optional<PeerId> peer;  ///< Nothing: the gateway.
    /// Whose turn it was: the want is taken back there.
    std::optional<PeerId> instead_of = {};
  };

  struct Missing {
    Cid cid;
    bool awaits_providers;  ///< Some are searched for or being connected.
  };

  /// Where a block is asked, and what came of it from there.
  struct Asked {
    std::optional<PeerId> peer;
    std::uint64_t received = 0;
  };

  explicit Scheduler(const ExchangeOptions& options);

  // Transfers.
  /// `ordered`: its bytes are read in order, so that the soonest needed block matters more than the rarest.
  void add_transfer(TransferId transfer, bool ordered);
  /// Blocks that only it needed are forgotten: returns them with whom they are asked of, to be cancelled.
  std::vector<Assignment> remove_transfer(Time now, TransferId transfer);
  /// How many providers found for it are still being connected; nothing while the search runs.
  void set_pending_providers(TransferId transfer, std::optional<std::uint32_t> pending);
  /// Whether need() has been called for every block that it wants.
  void set_asked_all(TransferId transfer, bool asked_all);
  /// Whether its reader waits for the next bytes while later ones are here.
  void set_blocked(Time now, TransferId transfer, bool blocked);
  /// Whether a connected peer provides it.
  bool has_provider(TransferId transfer) const;
  /// Whether one ever did.
  bool had_provider(TransferId transfer) const { return transfers_.at(transfer).had_provider; }

  // Sources.
  /// `credit`: bytes that it may send from the start.
  void add_peer(Time now, PeerId peer, std::uint64_t credit);
  /// Its blocks are needed again.
  void remove_peer(PeerId peer);
  void set_provides(PeerId peer, TransferId transfer);
  bool provides(PeerId peer, TransferId transfer) const;
  bool provides_any(PeerId peer) const { return !sources_.at(peer).provides.empty(); }
  /// `size` bytes of this wanted block, which has `block_size`, came from it.
  void handle_bytes(Time now, PeerId peer, const Cid& cid, std::uint64_t size, std::uint64_t block_size);
  /// Its path's delay, and the bytes that it may send and that have not come.
  void set_path(PeerId peer, Duration round_trip, std::uint64_t credit);
  /// It answered that it does not have the block, or that it is busy: then it is asked again after a while.
  void handle_lacks(Time now, PeerId peer, const Cid& cid);
  /// It has got the block since.
  void handle_has(PeerId peer, const Cid& cid);
  void handle_busy(Time now, PeerId peer, const Cid& cid);
  /// The gateway's request for the block ended without it.
  void handle_gateway_failed(Time now, const Cid& cid, Error error);
  /// Bytes came and were not needed any more.
  void note_duplicate(std::uint64_t bytes) { duplicates_ += static_cast<double>(bytes); }
  /// We keep sources waiting, by a cap on downloads: their silence says nothing.
  void excuse_silence(Time now);
  /// Bytes a second that it has shown; 0 if it has not yet.
  double rate(std::optional<PeerId> source) const;

  // Blocks.
  /// The block is needed by one more transfer.
  void need(Time now, const Cid& cid, TransferId transfer);
  bool needs(const Cid& cid) const { return blocks_.contains(cid); }
  /// Whether the gateway is asked for one of the transfer's blocks.
  bool asks_gateway_for(TransferId transfer) const;
  const std::set<TransferId>& transfers_of(const Cid& cid) const;
  /// Why the gateway did not give it, if it was asked and failed.
  const std::optional<Error>& gateway_error(const Cid& cid) const { return blocks_.at(cid).gateway_error; }
  /// A whole block came from a source, not yet verified: it is not asked elsewhere meanwhile.
  void handle_arrived(Time now, const Cid& cid, std::optional<PeerId> from, std::uint64_t size);
  /// It did not verify: needed again, from others.
  void handle_refuted(const Cid& cid);
  /// Verified: forgotten. Returns where it is still asked: they get a CANCEL.
  std::vector<Asked> handle_verified(Time now, const Cid& cid);

  /// The next request to make. Without `with_gateway` none of the gateway.
  std::optional<Assignment> poll_assignment(Time now, bool with_gateway = true);

  /// When poll_assignment() could have more without anything being told; nothing: never.
  std::optional<Time> next_check() const;

  /// Blocks that cannot come as things are: no source has or may have them, or is asked. In the order of need.
  std::vector<Missing> missing() const;

  /// What a block has held lately, in bytes.
  double block_size() const { return block_size_; }

 private:
  /// The order in which blocks are asked for: downloads take turns, one block each, as they asked for them.
  struct Rank {
    std::uint64_t turn = 0;
    std::uint64_t number = 0;
    auto operator<=>(const Rank&) const = default;
  };
  /// Seconds from now.
  using Seconds = double;

  struct Request {
    PeerId source;
    Time asked_at;
    double expected = 0;         ///< Bytes, as blocks were when it was asked.
    std::uint64_t received = 0;  ///< Bytes.
    double assumed = 0;          ///< Bytes that the gateway has sent of it, if it keeps to its rate.
    Seconds share_begin = 0;     ///< The gateway's Source::share when it was asked.
    Seconds due = 0;             ///< Until it comes, when that was last estimated; endless from a silent source.
    bool on_its_way = false;     ///< Then, within the source's credit.
    bool late = false;
    bool suspect = false;  ///< Its source, then.
  };

  struct Block {
    const Cid* cid = nullptr;  ///< Its key in blocks_.
    Rank rank;
    std::set<TransferId> transfers;
    std::vector<Request> requests;
    std::set<PeerId> lacking;
    std::optional<Error> gateway_error;  ///< It failed.
    bool arrived = false;
    bool is_node = false;        ///< Has links.
    std::uint64_t shuffled = 0;  ///< Its place in an order of our own.
    double risk = 0;             ///< Duplicate bytes that its second request may bring.
  };

  struct Source {
    Time last_byte{};
    std::uint64_t trickle = 0;  ///< Bytes that came since, too few to count.
    std::uint64_t credit = 0;
    double rate = 0;  ///< Bytes a second, smoothed; 0: not known.
    Duration round_trip{};
    std::uint64_t sample_bytes = 0;
    /// Without the path's delay, or it would look slow for every block that it is asked alone; from the first byte on
    /// while that is not known.
    std::optional<Time> sample_begin;
    std::vector<Block*> asked;  ///< In this order.
    double owed = 0;            ///< Bytes of `asked` that have not come.
    Time busy_since{};          ///< When `asked` was last empty.
    /// The gateway sends all that it is asked for at the same time: for how long each request had all of its rate.
    Seconds share = 0;
    Time share_until{};
    /// A silence that it has broken by itself is not held against it again.
    Duration longest_silence{};
    /// It was silent or busy: not asked before this time, twice as long each time until a byte comes.
    Time avoided_until{};
    Duration avoid_for{};
    bool has_given = false;  ///< Any byte.
    bool suspect = false;    ///< Silent for longer than the deadline, and no byte since.
    std::uint32_t lacks_in_a_row = 0;
    bool is_partial = false;  ///< It has lacked a block: it downloads too.
    std::set<TransferId> provides;
  };

  struct Transfer {
    bool ordered = true;
    bool asked_all = false;
    bool had_provider = false;
    std::optional<std::uint32_t> pending;
    std::optional<Time> first_need;
    std::uint64_t next_turn = 0;
    std::optional<Time> blocked_since;
  };

  struct Settling {
    Time until;
    double bytes;
  };

  using Sources = std::map<PeerId, Source>;

  /// Null if it is not needed.
  Block* find(const Cid& cid);
  bool is_missing(const Block& block) const;
  bool is_candidate(const Block& block, PeerId peer, const Source& source) const;
  bool is_asked(const Block& block, PeerId source) const;
  bool gateway_may_have(const Block& block) const;
  bool is_gateways_turn(Time now, const Block& block) const;
  bool awaits_providers(const Block& block) const;
  bool waited_long(Time now, const Block& block) const;
  /// Whether the source may be asked for the block now, but for room in its pipeline.
  bool may_ask(Time now, const Block& block, PeerId id, const Source& source) const;
  bool has_room(PeerId id, const Source& source) const;
  /// How long it has owed blocks without a byte.
  static Duration silence(Time now, const Source& source);
  std::size_t pipeline(const Source& source) const;
  /// Whether one block of it takes longer than anyone wants to wait.
  bool is_slow(const Source& source) const;

  double rate_of(Time now, const Source& source) const;
  /// Until it would have brought one more block.
  Seconds finish(Time now, const Source& source) const;
  static Request& request_of(Block& block, PeerId source);
  /// Bytes that have not come.
  static double left(const Request& request);
  /// Estimates when every request is answered.
  void estimate(Time now);
  /// Until the block comes from the first of those that were asked.
  static Seconds due(const Block& block);
  /// Whether a block that is asked for already is worth asking of `source` too. `idle`: it has nothing else to do.
  bool is_worth_asking(Time now, const Block& block, const Source& source, bool idle) const;
  /// Whether a reader has waited long for just this block.
  bool is_urgent(Time now, const Block& block) const;
  bool is_end_game(const Block& block) const;
  /// Whether all that is below an inner node has waited for it: that is small, and asked of one more source.
  static bool is_overdue_node(Time now, const Block& block);

  std::optional<Assignment> assign_queued(Time now, bool with_gateway);
  std::optional<Assignment> assign_again(Time now, bool with_gateway);
  std::vector<Block*> queued() const;
  Assignment assign(Time now, Block& block, PeerId source);
  void add_sample(Time now, Source& source, std::uint64_t size);
  void drop_request(Block& block, PeerId source);
  /// Brings what the gateway's requests had of its rate up to date: before they become more or fewer.
  void share_gateway(Time now);
  /// For how long the gateway's request had all of its rate.
  Seconds share_of(Time now, const Request& request) const;
  void estimate_gateway(Time now);
  void queue_if_unasked(Block& block);
  void check(Time now);
  void check_silence(Time now);

  ExchangeOptions options_;
  std::map<Cid, Block> blocks_;
  std::map<Rank, Block*> queue_;  ///< Blocks to be asked for: never asked, or late.
  Sources sources_;
  std::map<TransferId, Transfer> transfers_;
  std::uint64_t turn_ = 0;  ///< Of the block that was asked for last: a new download does not have to catch up.
  std::uint64_t next_number_ = 0;
  double block_size_ = 256 * 1024;  ///< Smoothed.
  double assumed_rate_;             ///< Taken for a source's rate until it is known: the others' average.
  std::uint64_t arrived_bytes_ = 0;
  double duplicates_ = 0;         ///< Bytes that came …
  double risked_ = 0;             ///< … and that may come of blocks asked twice, …
  std::list<Settling> settling_;  ///< … of which these have come once.
  Time check_at_{};
  /// Whether anything changed since poll_assignment() had nothing to say.
  bool changed_ = false;
};

}  // namespace codio::transfer
