// The C ABI between the pure core in WASM and its JavaScript host.
//
// There are two modules: codio_wasm, which downloads and serves, and codio_builder, which makes a file's DAG and is
// loaded only by who adds files. Each is a WASI reactor: the host calls `_initialize()` once, then its exports. It
// imports nothing. Everything runs on the calling thread. Times are milliseconds of one monotonic clock of the host's
// choice. Text is UTF-8 without terminator. A pointer that the host passes is only read during the call. A trap means a
// broken invariant: the host must drop the instance.
//
// Grammar, as in transfer/exchange.h: after any call that is not a getter, the host calls exchange_poll() and carries
// out what the record says, until it returns kNone.
#pragma once

#include <cstdint>

namespace codio::wasm {

/// What exchange_poll() found, and so which members of the record are set.
enum class OutputKind : std::uint32_t {
  kNone = 0,
  kSend = 1,       ///< Send `bytes` to peer `id` as one message.
  kClosePeer = 2,  ///< Close peer `id` after what was sent; `code` is the ErrorCode, `text` why. Do not come back if it
                   ///< is kMismatch or kMalformed; for a while through the same rendezvous if it is kForged.
  kLoad = 3,       ///< Look up block `text`; answer exchange_loaded() or exchange_missing() with request `id`, or
                   ///< exchange_refused() if `code` is 1, which says that a peer wants it.
  kStore = 4,      ///< Keep `bytes` as block `text`.
  kHash = 5,       ///< Hash `bytes` with multihash function `code`; answer exchange_hashed() with request `id`.
  kAskGateway = 6,  ///< Fetch block `text`; its digest with function `code` must be `bytes`. Answer
                    ///< exchange_gateway_block() with verified bytes, or exchange_gateway_failed(), with request `id`.
  kCancelGateway = 7,  ///< Request `id` is not wanted any more; no answer.
  kWakeup = 8,         ///< Call exchange_wakeup() at time `a`; replaces the one before; negative: never.
  kFindProviders = 9,  ///< Find providers of root `text` for transfer `id`; report with exchange_providers().
  kEntity = 10,        ///< Transfer `id` leads to a file of `a` bytes.
  kData = 11,  ///< The next `bytes` of transfer `id`, at file offset `a`. Give back room with exchange_consume().
  kReceived =
      12,  ///< A verified block of `b` bytes for transfer `id` came from `code`: 0 store, 1 peer `a`, 2 gateway.
  kFinished = 13,  ///< Transfer `id` is done and forgotten.
  kFailed = 14,    ///< Transfer `id` failed with ErrorCode `code`, `text`; it is forgotten.
  kProgress = 15,  ///< How far transfer `id` is: `bytes` are doubles, in the order of Progress (transfer/progress.h)
                   ///< from `received` to `remaining` in milliseconds, -1 for what is not known; then for each peer its
                   ///< number, bytes and rate.
  kVerifyPeer = 16,  ///< Does the Ed25519 key in `bytes`, then its signature, prove who peer `id` is? Answer
                     ///< exchange_verified(), and give no message of the peer before.
};

/// One output; valid until the next call. All members little-endian.
struct Record {
  std::uint32_t kind;         ///< At byte 0.
  std::uint32_t id;           ///< 4
  std::uint32_t code;         ///< 8
  const std::uint8_t* bytes;  ///< 12
  std::uint32_t bytes_size;   ///< 16
  const char* text;           ///< 20
  std::uint32_t text_size;    ///< 24
  std::uint32_t reserved;     ///< 28
  double a;                   ///< 32
  double b;                   ///< 40
};

struct Exchange;
struct Builder;

#define CODIO_EXPORT(name) __attribute__((export_name(#name))) name

extern "C" {

// In both modules.

/// The record that the calls below fill; its address never changes.
const Record* CODIO_EXPORT(record)();

/// Memory in which the host may write what it passes.
void* CODIO_EXPORT(allocate)(std::uint32_t size);
void CODIO_EXPORT(release)(void* memory);

// In codio_wasm.

/// One engine. `policy`: 0 p2p-first, 1 fastest, 2 gateway-only, 3 p2p-only. `has_gateways`: 0 if kAskGateway could
/// never be answered.
Exchange* CODIO_EXPORT(exchange_new)(std::uint32_t policy, std::uint32_t has_gateways);

std::uint32_t CODIO_EXPORT(exchange_poll)(Exchange* exchange);

/// Bytes a second that may be uploaded and downloaded, and peers served at a time; a negative rate: no limit.
void CODIO_EXPORT(exchange_set_limits)(Exchange* exchange, double now, double upload_rate, double download_rate,
                                       std::uint32_t upload_slots);

/// Starts a transfer of the file at `address`, `CID` or `CID/path` (decoded names joined by '/'), bytes [begin, end)
/// (end < 0: to its end). Returns its id and the CID's canonical text in `text`, or 0 with the reason in `code` and
/// `text`.
std::uint32_t CODIO_EXPORT(exchange_download)(Exchange* exchange, double now, const char* address, std::uint32_t size,
                                              double begin, double end);
void CODIO_EXPORT(exchange_cancel)(Exchange* exchange, double now, std::uint32_t transfer);
/// The reader took `bytes` of kData; the engine asks for more when the window has room.
void CODIO_EXPORT(exchange_consume)(Exchange* exchange, double now, std::uint32_t transfer, double bytes);

/// How many providers found for this transfer are still being connected; 0 also when none was found.
void CODIO_EXPORT(exchange_providers)(Exchange* exchange, double now, std::uint32_t transfer, std::uint32_t pending);
/// A channel opened. `peer` is the host's number, not 0, never reused. `transfer`: which the peer was found to provide,
/// or 0. `proof`: our key and then our signature, 96 bytes; null: we are anonymous. `must_prove`: 1 if the peer was
/// found under the id of a key, else 0.
void CODIO_EXPORT(exchange_peer_connected)(Exchange* exchange, double now, std::uint32_t peer, std::uint32_t transfer,
                                           const std::uint8_t* proof, std::uint32_t must_prove);
void CODIO_EXPORT(exchange_verified)(Exchange* exchange, double now, std::uint32_t peer, std::uint32_t is_proven);
/// An already connected peer was found to provide the transfer's root.
void CODIO_EXPORT(exchange_peer_provides)(Exchange* exchange, double now, std::uint32_t peer, std::uint32_t transfer);
void CODIO_EXPORT(exchange_peer_disconnected)(Exchange* exchange, double now, std::uint32_t peer);
void CODIO_EXPORT(exchange_message)(Exchange* exchange, double now, std::uint32_t peer, const std::uint8_t* bytes,
                                    std::uint32_t size);
/// The channel's bufferedAmount: after a drain that sent to the peer, and when it fell to bufferedAmountLowThreshold
/// (set that to 65,536). More output may follow.
void CODIO_EXPORT(exchange_buffered_amount)(Exchange* exchange, double now, std::uint32_t peer, std::uint32_t bytes);

void CODIO_EXPORT(exchange_loaded)(Exchange* exchange, double now, std::uint32_t request, const std::uint8_t* bytes,
                                   std::uint32_t size);
void CODIO_EXPORT(exchange_missing)(Exchange* exchange, double now, std::uint32_t request);
void CODIO_EXPORT(exchange_refused)(Exchange* exchange, double now, std::uint32_t request);
void CODIO_EXPORT(exchange_hashed)(Exchange* exchange, double now, std::uint32_t request, const std::uint8_t* digest,
                                   std::uint32_t size);
void CODIO_EXPORT(exchange_gateway_block)(Exchange* exchange, double now, std::uint32_t request,
                                          const std::uint8_t* bytes, std::uint32_t size);
void CODIO_EXPORT(exchange_gateway_failed)(Exchange* exchange, double now, std::uint32_t request, std::uint32_t code,
                                           const char* text, std::uint32_t size);
void CODIO_EXPORT(exchange_wakeup)(Exchange* exchange, double now);

/// Totals in bytes since exchange_new(): `which` 0 downloaded from peers, 1 from gateways, 2 uploaded, 3 duplicates.
double CODIO_EXPORT(exchange_total)(const Exchange* exchange, std::uint32_t which);

// In codio_builder.

/// A file builder with profile unixfs-v1-2025. For another file there is another instance of the module.
Builder* CODIO_EXPORT(builder_new)();
void CODIO_EXPORT(builder_append)(Builder* builder, const std::uint8_t* bytes, std::uint32_t size);
void CODIO_EXPORT(builder_finish)(Builder* builder);
/// 1 if the record holds a block to be hashed with SHA-256 and kept: `id`, `bytes`; 0 if there is none now.
std::uint32_t CODIO_EXPORT(builder_poll)(Builder* builder);
/// Answers a polled block; the record's `text` is the CID under which to keep it.
void CODIO_EXPORT(builder_hashed)(Builder* builder, std::uint32_t id, const std::uint8_t* digest);
/// 1 and the record's `text` is the root's CID once all is hashed after builder_finish(); else 0.
std::uint32_t CODIO_EXPORT(builder_root)(Builder* builder);
}

}  // namespace codio::wasm
