// Blocks from gateways as a native node gets them, timed from the inside; the bytes are dropped.
//
// usage: gateway_fetch raw K ROOT[,CID…] URL…    the root, then the others, K at a time, from these gateways
//        gateway_fetch car ROOT URL              all of them in one CAR stream
//
// Prints {"firstBlock": …, "firstLeaf": …, "ms": …, "size": …}: milliseconds from the client's start to the first and
// second verified block and to the last.
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <future>
#include <iostream>
#include <mutex>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "content_id/car.h"
#include "gateway/gateway.h"
#include "gateway/http_client.h"
#include "gateway/verify.h"

namespace codio::gateway {
namespace {

using content_id::ContentId;

class Figures {
 public:
  void add(std::size_t size) {
    const std::lock_guard lock(mutex_);
    times_.push_back(std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - began_).count());
    size_ += size;
  }
  void print() const {
    std::cout << nlohmann::json{{"firstBlock", times_.at(0)},
                                {"firstLeaf", times_.at(times_.size() > 1 ? 1 : 0)},
                                {"ms", times_.back()},
                                {"size", size_}}
              << '\n';
  }

 private:
  const std::chrono::steady_clock::time_point began_ = std::chrono::steady_clock::now();
  std::mutex mutex_;
  std::vector<double> times_;
  std::size_t size_ = 0;
};

Result<void> fetch_raw(std::size_t at_a_time, const std::vector<ContentId>& cids, GatewayConfig config,
                       Figures& figures) {
  auto gateway = Gateway::make(std::move(config));
  if (!gateway) return std::unexpected(gateway.error());
  const auto root = (*gateway)->fetch_cid(cids.front());
  if (!root) return std::unexpected(root.error());
  figures.add((*root)->size());

  std::mutex mutex;
  std::condition_variable changed;
  std::size_t running = 0;
  Result<void> outcome;
  for (std::size_t i = 1; i < cids.size(); ++i) {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return running < at_a_time; });
    ++running;
    (*gateway)->fetch_cid(cids[i], [&](const Result<SharedBytes>& block) {
      if (block) figures.add((*block)->size());
      const std::lock_guard guard(mutex);
      --running;
      if (!block) outcome = std::unexpected(block.error());
      changed.notify_all();
    });
  }
  std::unique_lock lock(mutex);
  changed.wait(lock, [&] { return running == 0; });
  return outcome;
}

Result<void> fetch_car(const ContentId& root, const std::string& url, Figures& figures) {
  content_id::CarReader reader;
  Result<void> outcome;
  HttpRequest request;
  request.url = url + root.to_string() + "?format=car&dag-scope=entity";
  request.accept = "application/vnd.ipld.car";
  request.max_size = std::size_t{1} << 40;
  request.on_part = [&](const HttpAnswer& /*head*/, BytesView part) {
    reader.append(part);
    while (outcome) {
      const auto block = reader.poll_block();
      if (!block) outcome = std::unexpected(block.error());
      if (!block || !*block) return;
      outcome = verify((*block)->cid, *(*block)->bytes);
      figures.add((*block)->bytes->size());
    }
  };
  std::promise<Result<HttpAnswer>> promise;
  HttpClient client;
  client.get(std::move(request), [&](Result<HttpAnswer> answer) { promise.set_value(std::move(answer)); });
  const auto answer = promise.get_future().get();
  if (!answer) return std::unexpected(answer.error());
  return outcome;
}

Result<std::vector<ContentId>> parse_cids(const std::string& text) {
  std::vector<ContentId> cids;
  std::istringstream list(text);
  for (std::string one; std::getline(list, one, ',');) {
    const auto cid = ContentId::parse(one);
    if (!cid) return std::unexpected(cid.error());
    cids.push_back(*cid);
  }
  return cids;
}

Result<void> run(const std::vector<std::string>& words) {
  const bool is_raw = words.size() >= 4 && words[0] == "raw";
  if (!is_raw && (words.size() != 3 || words[0] != "car")) {
    return fail(ErrorCode::kMalformed, "usage: gateway_fetch raw K ROOT[,CID…] URL… | car ROOT URL");
  }
  const auto cids = parse_cids(words[is_raw ? 2 : 1]);
  if (!cids) return std::unexpected(cids.error());
  Figures figures;
  Result<void> outcome;
  if (is_raw) {
    GatewayConfig config;
    config.primary = words[3];
    config.fallbacks.assign(words.begin() + 4, words.end());
    outcome = fetch_raw(std::stoul(words[1]), *cids, std::move(config), figures);
  } else {
    outcome = fetch_car(cids->front(), words[2], figures);
  }
  if (outcome) figures.print();
  return outcome;
}

}  // namespace
}  // namespace codio::gateway

int main(int argc, char** argv) {
  const auto outcome = codio::gateway::run({argv + 1, argv + argc});
  if (outcome) return EXIT_SUCCESS;
  std::cerr << "gateway_fetch: " << outcome.error().message << '\n';
  return EXIT_FAILURE;
}
