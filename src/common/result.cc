#include "common/result.h"

#include "common/check.h"
#include "common/concat.h"

namespace codio {

std::string_view to_string(ErrorCode code) {
  switch (code) {
    case ErrorCode::kMalformed: return "malformed";
    case ErrorCode::kTooLarge: return "too-large";
    case ErrorCode::kUnsupported: return "unsupported";
    case ErrorCode::kMismatch: return "mismatch";
    case ErrorCode::kNotFound: return "not-found";
    case ErrorCode::kUnavailable: return "unavailable";
    case ErrorCode::kTimeout: return "timeout";
    case ErrorCode::kCancelled: return "cancelled";
    case ErrorCode::kIo: return "io";
    case ErrorCode::kForged: return "forged";
  }
  check(false);
  return {};
}

Error::Error(ErrorCode of, std::string sentence) : code(of), message(std::move(sentence)) {}
Error::Error(Error&&) noexcept = default;
Error::Error(const Error&) = default;
Error& Error::operator=(Error&&) noexcept = default;
Error& Error::operator=(const Error&) = default;
Error::~Error() = default;

std::unexpected<Error> fail(ErrorCode code, std::string_view message) {
  return std::unexpected(Error{code, std::string(message)});
}

std::unexpected<Error> fail(ErrorCode code, std::string_view where, std::string_view why) {
  return fail(code, concat({where, ": ", why}));
}

}  // namespace codio
