#include "node/tls_files.h"

#include <openssl/ssl.h>
#include <utility>

#include <openssl/x509v3.h>

namespace codio::node {

namespace ssl = boost::asio::ssl;

namespace {

std::string host_name_of(ssl::context& context) {
  const X509* certificate = SSL_CTX_get0_certificate(context.native_handle());
  auto* names = static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr));
  std::string first;
  for (int i = 0; i < sk_GENERAL_NAME_num(names) && first.empty(); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names, i);
    if (name->type != GEN_DNS) continue;
    const std::string text(reinterpret_cast<const char*>(ASN1_STRING_get0_data(name->d.dNSName)),
                           static_cast<std::size_t>(ASN1_STRING_length(name->d.dNSName)));
    if (text.find('*') == text.npos) first = text;
  }
  GENERAL_NAMES_free(names);
  return first;
}

}  // namespace

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
  std::string host_name = host_name_of(*context);
  const std::lock_guard lock(mutex_);
  host_name_ = std::move(host_name);
  context_ = std::move(context);
  read_at_ = std::move(now);
  return true;
}

std::shared_ptr<ssl::context> TlsFiles::current() const {
  const std::lock_guard lock(mutex_);
  return context_;
}

std::string TlsFiles::host_name() const {
  const std::lock_guard lock(mutex_);
  return host_name_;
}

}  // namespace codio::node
