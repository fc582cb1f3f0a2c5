// The parts of HTTP messages that answers are made of.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace codio::web {

/// What counts of a request. Points into whatever was parsed.
struct Request {
  bool is_head = false;
  std::string_view target;
  std::string_view host;
  std::string_view accept;
  std::string_view accept_encoding;
  std::string_view range;
  std::string_view if_range;
  std::string_view if_none_match;
  std::string_view cache_control;
  std::string_view service_worker;
  std::string_view forwarded_host;   ///< X-Forwarded-Host
  std::string_view forwarded_proto;  ///< X-Forwarded-Proto
  bool is_encrypted = false;         ///< Came over TLS.
};

struct Header {
  std::string_view name;  ///< A constant.
  std::string value;

  bool operator==(const Header&) const = default;
};

/// A response's status and headers, without those of the connection.
class Head {
 public:
  int status = 200;
  /// The pages of all origins may read the answer: with the headers of CORS, which are always the same.
  bool is_for_all_origins = false;

  /// Control characters in the value become spaces: nothing that a stranger wrote ends a header.
  void add(std::string_view name, std::string_view value);
  /// The first value; empty if there is none. Valid until the next add().
  std::string_view get(std::string_view name) const;
  std::size_t size() const { return size_; }
  /// As they are sent, a line each.
  std::string_view lines() const { return lines_; }

 private:
  std::string lines_;
  std::size_t size_ = 0;
};

/// A request that is not to be fulfilled: a status, a sentence for a person, and what else goes with it, such as
/// Location.
struct Refusal {
  int status;
  std::string message;
  std::vector<Header> headers = {};
};

/// A refusal that is over in some seconds.
Refusal try_again(int status, std::string message, int seconds);

/// "Not Found". Empty if the status has no name.
std::string_view reason_of(int status);

/// Appends status line, headers and the empty line.
void write_head(const Head& head, unsigned version, std::string& text);

/// Whether an Accept header names exactly this media type, with whatever parameters.
bool accepts(std::string_view accept, std::string_view media_type);

/// How much an Accept-Encoding header wants a coding, in thousandths; 0: not at all. RFC 9110, 12.5.3.
unsigned weight_of_coding(std::string_view accept_encoding, std::string_view coding);

inline bool accepts_gzip(std::string_view accept_encoding) { return weight_of_coding(accept_encoding, "gzip") != 0; }

}  // namespace codio::web
