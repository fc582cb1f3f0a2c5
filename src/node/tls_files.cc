#include "node/tls_files.h"

#include <openssl/ssl.h>
#include <utility>

namespace codio::node {

namespace ssl = boost::asio::ssl;

Result<std::shared_ptr<TlsFiles>> TlsFiles::load(std::filesystem::path certificate, std::filesystem::path key) {
  std::shared_ptr<TlsFiles> files(new TlsFiles(std::move(certificate), std::move(key)));
  if (auto read = files->reload(); !read) return std::unexpected(read.error());
  return files;
}

std::string TlsFiles::fingerprint() const {
  std::string text;
  for (const auto& file : {certificate_, key_}) {
    std::error_code error;
    text += std::to_string(std::filesystem::file_size(file, error)) + " " +
            std::to_string(std::filesystem::last_write_time(file, error).time_since_epoch().count()) + "\n";
  }
  return text;
}

Result<bool> TlsFiles::reload() {
  std::string now = fingerprint();
  if (context_ && now == read_at_) return false;
  auto context = std::make_shared<ssl::context>(ssl::context::tls_server);
  context->set_options(ssl::context::default_workarounds | ssl::context::no_sslv2 | ssl::context::no_sslv3 |
                       ssl::context::no_tlsv1 | ssl::context::no_tlsv1_1);
  SSL_CTX_set_options(context->native_handle(), SSL_OP_NO_RENEGOTIATION);
  boost::system::error_code error;
  context->use_certificate_chain_file(certificate_.string(), error);
  if (error) {
    return fail(ErrorCode::kIo, "cannot use " + certificate_.string() + " as a certificate: " + error.message() +
                                    "; it is to be PEM, the server's own certificate first");
  }
  context->use_private_key_file(key_.string(), ssl::context::pem, error);
  if (error) {
    return fail(ErrorCode::kIo,
                "cannot use " + key_.string() + " as the key of " + certificate_.string() + ": " + error.message());
  }
  const std::lock_guard lock(mutex_);
  context_ = std::move(context);
  read_at_ = std::move(now);
  return true;
}

std::shared_ptr<ssl::context> TlsFiles::current() const {
  const std::lock_guard lock(mutex_);
  return context_;
}

}  // namespace codio::node
