// How a function says that its input was malformed or that the outside world refused: `Result<T>`.
//
// A broken invariant of our own is not a Result: it aborts (see check.h).
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <utility>

namespace codio {

/// What went wrong, as far as a caller can act on it.
enum class ErrorCode : std::uint8_t {
  kMalformed,    ///< The input breaks its specification.
  kTooLarge,     ///< The input is over a limit that we set.
  kUnsupported,  ///< Well-formed, but of a kind we do not implement.
  kMismatch,     ///< The bytes do not hash to the CID they were given for.
  kNotFound,     ///< A block, path, file or provider does not exist.
  kUnavailable,  ///< A peer, gateway or resource cannot be used now; another or a later try may work.
  kTimeout,      ///< Nothing came in time.
  kCancelled,    ///< The caller took the request back.
  kIo,           ///< The operating system or the store refused.
  kForged,       ///< It does not come from whom it names: a signature does not check.
};

/// The code's name in kebab-case, as printed and as `--json` and JavaScript carry it: "not-found".
std::string_view to_string(ErrorCode code);

/// An error and the sentence that a person reads: what failed, on what, and what to do where that is known.
struct Error {
  ErrorCode code;
  std::string message;

  Error(ErrorCode of, std::string sentence);
  // Functions of their own: a page downloads less than with these in every `return fail(…)`.
  Error(Error&&) noexcept;
  Error(const Error&);
  Error& operator=(Error&&) noexcept;
  Error& operator=(const Error&);
  ~Error();

  bool operator==(const Error&) const = default;
};

template <class T>
using Result = std::expected<T, Error>;

std::unexpected<Error> fail(ErrorCode code, std::string_view message);
/// With the message "WHERE: WHY".
std::unexpected<Error> fail(ErrorCode code, std::string_view where, std::string_view why);

}  // namespace codio
