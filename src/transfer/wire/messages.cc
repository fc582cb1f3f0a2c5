#include "transfer/wire/messages.h"

#include <algorithm>

#include "common/check.h"
#include "common/concat.h"
#include "common/decimal.h"
#include "common/protobuf.h"
#include "common/varint.h"
#include "content_id/car.h"

namespace codio::transfer::wire {
namespace {

enum class FrameType : std::uint8_t {
  kHello = 1,
  kWant = 2,
  kHave = 3,
  kDontHave = 4,
  kBlock = 5,
  kCancel = 6,
  kCredit = 7,
  kGoodbye = 8,
};

Bytes begin(FrameType type) { return {static_cast<std::uint8_t>(type)}; }

Result<void> malformed(std::string_view message) { return fail(ErrorCode::kMalformed, message); }

/// What came of reading fields, of which `bad` is the number of one that was refused, or 0.
Result<void> outcome(const ProtobufReader& reader, std::string_view what, std::uint32_t bad) {
  if (bad != 0) return fail(ErrorCode::kMalformed, what, concat({"bad field ", to_decimal(bad)}));
  if (!reader.problem().empty()) return malformed(reader.problem());
  return {};
}

/// Calls `handle(field)` for every field; it returns false on a field that is known but of the wrong type or value.
template <class Handle>
Result<void> read_fields(BytesView body, std::string_view what, Handle handle) {
  ProtobufReader reader(body);
  std::uint32_t bad = 0;
  for (ProtobufField field; bad == 0 && reader.next(field);) {
    if (!handle(field)) bad = field.number;
  }
  return outcome(reader, what, bad);
}

bool read_u32(const ProtobufField& field, std::uint32_t& out) {
  if (field.type != WireType::kVarint || field.integer > UINT32_MAX) return false;
  out = static_cast<std::uint32_t>(field.integer);
  return true;
}

bool read_u64(const ProtobufField& field, std::uint64_t& out) {
  out = field.integer;
  return field.type == WireType::kVarint;
}

bool read_ids(const ProtobufField& field, std::vector<WantId>& out) {
  if (field.type != WireType::kBytes) return false;
  for (BytesView rest = field.bytes; !rest.empty();) {
    const auto id = read_varint(rest);
    if (!id || id->value > UINT32_MAX || out.size() == kMaxOpenWants) return false;
    out.push_back(WantId{static_cast<std::uint32_t>(id->value)});
    rest = rest.subspan(id->size);
  }
  return true;
}

void write_ids(Bytes& out, const std::vector<WantId>& ids) {
  Bytes packed;
  for (const WantId id : ids) append_varint(packed, id.value);
  ProtobufWriter(out).write_bytes(1, packed);
}

/// False: another length.
template <std::size_t kSize>
bool read_array(const ProtobufField& field, std::array<std::uint8_t, kSize>& out) {
  if (field.type != WireType::kBytes || field.bytes.size() != kSize) return false;
  std::copy(field.bytes.begin(), field.bytes.end(), out.begin());
  return true;
}

Result<void> decode_body(BytesView body, Hello& hello) {
  hello.version = 0;
  Proof proof;
  bool has_key = false;
  bool has_signature = false;
  const auto read = read_fields(body, "HELLO", [&](const ProtobufField& field) {
    switch (field.number) {
      case 1: return read_u32(field, hello.version);
      case 2: return read_u32(field, hello.max_frame) && hello.max_frame >= kMinFrame && hello.max_frame <= kMaxFrame;
      case 3: return read_u64(field, hello.credit);
      case 4: return read_u64(field, hello.features);
      case 5: return has_key = read_array(field, proof.key);
      case 6: return has_signature = read_array(field, proof.signature);
      default: return true;
    }
  });
  if (!read) return read;
  if (has_key != has_signature) return malformed("HELLO: a key without signature, or the other way round");
  if (has_key) hello.proof = proof;
  return {};
}

Result<void> decode_body(BytesView body, Want& want) {
  return read_fields(body, "WANT", [&](const ProtobufField& field) {
    if (field.number != 1) return true;
    if (field.type != WireType::kBytes || want.entries.size() == kMaxOpenWants) return false;
    WantId id;
    std::uint64_t kind = 0;
    std::optional<content_id::ContentId> cid;
    const auto entry = read_fields(field.bytes, "WANT entry", [&](const ProtobufField& part) {
      switch (part.number) {
        case 1: return read_u32(part, id.value);
        case 2: {
          if (part.type != WireType::kBytes) return false;
          auto decoded = content_id::ContentId::decode(part.bytes);
          if (!decoded) return false;
          cid = *std::move(decoded);
          return true;
        }
        case 3: return read_u64(part, kind) && kind <= 1;
        default: return true;
      }
    });
    if (!entry || !cid) return false;
    want.entries.push_back({id, *std::move(cid), static_cast<WantKind>(kind)});
    return true;
  });
}

/// `reason`: of a DONT_HAVE; else null.
Result<void> decode_ids(BytesView body, std::string_view what, std::vector<WantId>& ids,
                        DontHaveReason* reason = nullptr) {
  return read_fields(body, what, [&](const ProtobufField& field) {
    if (field.number == 1) return read_ids(field, ids);
    if (field.number != 2 || reason == nullptr) return true;
    std::uint64_t value = 0;
    if (!read_u64(field, value)) return false;
    *reason = value <= 2 ? static_cast<DontHaveReason>(value) : DontHaveReason::kRefused;
    return true;
  });
}

Result<void> decode_body(BytesView body, Have& have) { return decode_ids(body, "HAVE", have.ids); }

Result<void> decode_body(BytesView body, DontHave& dont_have) {
  return decode_ids(body, "DONT_HAVE", dont_have.ids, &dont_have.reason);
}

Result<void> decode_body(BytesView body, Cancel& cancel) { return decode_ids(body, "CANCEL", cancel.ids); }

Result<void> decode_body(BytesView body, BlockChunk& chunk) {
  std::uint64_t numbers[3];
  for (std::uint64_t& number : numbers) {
    const auto varint = read_varint(body);
    if (!varint) return std::unexpected(varint.error());
    number = varint->value;
    body = body.subspan(varint->size);
  }
  const auto [id, offset, size] = numbers;
  if (id > UINT32_MAX || size > content_id::kMaxBlockSize || offset > size || body.size() > size - offset) {
    return malformed("BLOCK: bytes outside of the block");
  }
  if (body.empty() && size != 0) return malformed("BLOCK: no bytes");
  chunk = {WantId{static_cast<std::uint32_t>(id)}, static_cast<std::uint32_t>(offset), static_cast<std::uint32_t>(size),
           body};
  return {};
}

Result<void> decode_body(BytesView body, Credit& credit) {
  return read_fields(body, "CREDIT",
                     [&](const ProtobufField& field) { return field.number != 1 || read_u64(field, credit.limit); });
}

Result<void> decode_body(BytesView body, Goodbye& goodbye) {
  return read_fields(body, "GOODBYE", [&](const ProtobufField& field) {
    std::uint64_t code = 0;
    switch (field.number) {
      case 1:
        if (!read_u64(field, code)) return false;
        goodbye.code = code <= 4 ? static_cast<GoodbyeCode>(code) : GoodbyeCode::kLeaving;
        return true;
      case 2:
        if (field.type != WireType::kBytes || field.bytes.size() > kMaxReason) return false;
        goodbye.reason = std::string(as_text(field.bytes));
        return true;
      default: return true;
    }
  });
}

template <class Body>
Result<void> decode_as(BytesView body, std::optional<Message>& message) {
  return decode_body(body, std::get<Body>(message.emplace(std::in_place_type<Body>)));
}

/// Leaves `message` empty if its type is unknown.
Result<void> decode_frame(FrameType type, BytesView body, std::optional<Message>& message) {
  switch (type) {
    case FrameType::kHello: return decode_as<Hello>(body, message);
    case FrameType::kWant: return decode_as<Want>(body, message);
    case FrameType::kHave: return decode_as<Have>(body, message);
    case FrameType::kDontHave: return decode_as<DontHave>(body, message);
    case FrameType::kBlock: return decode_as<BlockChunk>(body, message);
    case FrameType::kCancel: return decode_as<Cancel>(body, message);
    case FrameType::kCredit: return decode_as<Credit>(body, message);
    case FrameType::kGoodbye: return decode_as<Goodbye>(body, message);
  }
  return {};
}

}  // namespace

Result<std::optional<Message>> decode(BytesView frame) {
  if (frame.empty()) return fail(ErrorCode::kMalformed, "empty frame");
  std::optional<Message> message;
  auto decoded = decode_frame(static_cast<FrameType>(frame[0]), frame.subspan(1), message);
  if (!decoded) return std::unexpected(std::move(decoded.error()));
  return message;
}

Bytes encode(const Hello& hello) {
  Bytes out = begin(FrameType::kHello);
  ProtobufWriter writer(out);
  writer.write_varint(1, hello.version);
  writer.write_varint(2, hello.max_frame);
  writer.write_varint(3, hello.credit);
  if (hello.features != 0) writer.write_varint(4, hello.features);
  if (hello.proof) {
    writer.write_bytes(5, hello.proof->key);
    writer.write_bytes(6, hello.proof->signature);
  }
  return out;
}

Bytes encode(const Want& want) {
  Bytes out = begin(FrameType::kWant);
  Bytes part;
  for (const WantEntry& entry : want.entries) {
    part.clear();
    ProtobufWriter writer(part);
    writer.write_varint(1, entry.id.value);
    writer.write_bytes(2, entry.cid.bytes());
    if (entry.kind != WantKind::kBlock) writer.write_varint(3, static_cast<std::uint64_t>(entry.kind));
    ProtobufWriter(out).write_bytes(1, part);
  }
  return out;
}

Bytes encode(const Have& have) {
  Bytes out = begin(FrameType::kHave);
  write_ids(out, have.ids);
  return out;
}

Bytes encode(const DontHave& dont_have) {
  Bytes out = begin(FrameType::kDontHave);
  write_ids(out, dont_have.ids);
  ProtobufWriter(out).write_varint(2, static_cast<std::uint64_t>(dont_have.reason));
  return out;
}

Bytes encode(const BlockChunk& chunk) {
  Bytes out;
  out.reserve(kMaxBlockHeader + chunk.bytes.size());
  out.push_back(static_cast<std::uint8_t>(FrameType::kBlock));
  append_varint(out, chunk.id.value);
  append_varint(out, chunk.offset);
  append_varint(out, chunk.size);
  append(out, chunk.bytes);
  return out;
}

Bytes encode(const Cancel& cancel) {
  Bytes out = begin(FrameType::kCancel);
  write_ids(out, cancel.ids);
  return out;
}

Bytes encode(const Credit& credit) {
  Bytes out = begin(FrameType::kCredit);
  ProtobufWriter(out).write_varint(1, credit.limit);
  return out;
}

Bytes encode(const Goodbye& goodbye) {
  Bytes out = begin(FrameType::kGoodbye);
  ProtobufWriter writer(out);
  writer.write_varint(1, static_cast<std::uint64_t>(goodbye.code));
  writer.write_bytes(2, as_bytes(goodbye.reason).first(std::min(goodbye.reason.size(), kMaxReason)));
  return out;
}

}  // namespace codio::transfer::wire
