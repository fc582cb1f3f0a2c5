// Where a command's bytes go: a file that appears whole or not at all, or the standard output.
#pragma once

#include <filesystem>

#include "common/bytes.h"
#include "common/result.h"

namespace codio::cli {

/// A place for something new, filled under another name: `.NAME.codio-part` beside it. What was not committed is
/// removed.
class NewPath {
 public:
  /// kIo if there is something at `path`, which is never overwritten. What an earlier, killed command left under the
  /// other name is removed.
  static Result<NewPath> make(std::filesystem::path path);
  NewPath(NewPath&& other) noexcept;
  NewPath& operator=(NewPath&&) = delete;
  ~NewPath();

  /// To make the file, folder or symlink at.
  const std::filesystem::path& part() const { return part_; }
  /// Gives it its name. The same error as make() if that is taken meanwhile.
  Result<void> commit();

 private:
  NewPath(std::filesystem::path path, std::filesystem::path part);

  std::filesystem::path path_;
  std::filesystem::path part_;  ///< Empty once committed.
};

/// An open file to write. Not thread-safe.
class OutputFile {
 public:
  /// Makes the file; kIo if there is anything of that name, a symlink included.
  static Result<OutputFile> create(std::filesystem::path path);
  static OutputFile standard_output();
  OutputFile(OutputFile&& other) noexcept;
  OutputFile& operator=(OutputFile&&) = delete;
  ~OutputFile();

  /// Writes all of the bytes. kCancelled: nobody reads the standard output any more.
  Result<void> write(BytesView bytes);
  /// To be called at the end: some file systems tell only now that the disk is full.
  Result<void> close();

 private:
  OutputFile(std::filesystem::path path, int descriptor);

  std::filesystem::path path_;
  int descriptor_;
};

/// "cannot {doing} {path}: {the system's reason}", kIo.
std::unexpected<Error> io_failure(std::string_view doing, const std::filesystem::path& path, int error);

}  // namespace codio::cli
