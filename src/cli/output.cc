#include "cli/output.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <stdio.h>
#include <system_error>
#include <unistd.h>
#include <utility>

namespace codio::cli {

namespace fs = std::filesystem;

namespace {

std::unexpected<Error> refuse(const fs::path& path) {
  return fail(ErrorCode::kIo, path.string() + " exists already and is not overwritten; choose another path with -o");
}

bool is_taken(const fs::path& path) {
  std::error_code error;
  return fs::symlink_status(path, error).type() != fs::file_type::not_found;
}

}  // namespace

std::unexpected<Error> io_failure(std::string_view doing, const fs::path& path, int error) {
  return fail(ErrorCode::kIo, "cannot " + std::string(doing) + " " + path.string() + ": " + std::strerror(error));
}

Result<NewPath> NewPath::make(fs::path path) {
  if (!path.has_filename()) path = path.parent_path();
  if (is_taken(path)) return refuse(path);
  fs::path part = path.parent_path() / ("." + path.filename().string() + ".codio-part");
  std::error_code error;
  fs::remove_all(part, error);
  if (error) return io_failure("remove", part, error.value());
  return NewPath(std::move(path), std::move(part));
}

NewPath::NewPath(fs::path path, fs::path part) : path_(std::move(path)), part_(std::move(part)) {}

NewPath::NewPath(NewPath&& other) noexcept
    : path_(std::move(other.path_)), part_(std::exchange(other.part_, fs::path())) {}

NewPath::~NewPath() {
  std::error_code ignored;
  if (!part_.empty()) fs::remove_all(part_, ignored);
}

Result<void> NewPath::commit() {
  int renamed = ::renameat2(AT_FDCWD, part_.c_str(), AT_FDCWD, path_.c_str(), RENAME_NOREPLACE);
  // Some file systems cannot check and rename in one step.
  if (renamed != 0 && errno == EINVAL) {
    if (is_taken(path_)) return refuse(path_);
    renamed = std::rename(part_.c_str(), path_.c_str());
  }
  if (renamed != 0) return errno == EEXIST ? refuse(path_) : io_failure("make", path_, errno);
  part_.clear();
  return {};
}

Result<OutputFile> OutputFile::create(fs::path path) {
  const int descriptor = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (descriptor < 0) return io_failure("make", path, errno);
  return OutputFile(std::move(path), descriptor);
}

OutputFile OutputFile::standard_output() { return OutputFile("the standard output", STDOUT_FILENO); }

OutputFile::OutputFile(fs::path path, int descriptor) : path_(std::move(path)), descriptor_(descriptor) {}

OutputFile::OutputFile(OutputFile&& other) noexcept
    : path_(std::move(other.path_)), descriptor_(std::exchange(other.descriptor_, -1)) {}

OutputFile::~OutputFile() {
  if (descriptor_ > STDERR_FILENO) ::close(descriptor_);
}

Result<void> OutputFile::write(BytesView bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0 && errno == EPIPE) return fail(ErrorCode::kCancelled, "nobody reads the standard output any more");
    if (written < 0) return io_failure("write", path_, errno);
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
  return {};
}

Result<void> OutputFile::close() {
  const int descriptor = std::exchange(descriptor_, -1);
  if (descriptor > STDERR_FILENO && ::close(descriptor) != 0) return io_failure("write", path_, errno);
  return {};
}

}  // namespace codio::cli
