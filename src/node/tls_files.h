// The certificate of the HTTP server, as its files have it now.
#pragma once

#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <boost/asio/ssl/context.hpp>

#include "common/result.h"

namespace codio::node {

/// Thread-safe.
class TlsFiles {
 public:
  /// PEM: the certificate with its chain, and its key. An error names the file and what is wrong with it.
  static Result<std::shared_ptr<TlsFiles>> load(std::filesystem::path certificate, std::filesystem::path key);

  /// Reads them again if one has changed since; on an error the old certificate stays in use.
  Result<bool> reload();

  /// For new connections; those that there are keep theirs.
  std::shared_ptr<boost::asio::ssl::context> current() const;

  /// The first host name of the certificate that is one and no pattern; empty: it has none.
  std::string host_name() const;

 private:
  TlsFiles(std::filesystem::path certificate, std::filesystem::path key)
      : certificate_(std::move(certificate)), key_(std::move(key)) {}
  std::string fingerprint() const;

  std::filesystem::path certificate_;
  std::filesystem::path key_;
  std::string read_at_;
  mutable std::mutex mutex_;
  std::shared_ptr<boost::asio::ssl::context> context_;
  std::string host_name_;
};

}  // namespace codio::node
