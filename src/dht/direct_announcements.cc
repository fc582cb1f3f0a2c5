#include "dht/direct_announcements.h"

#include <algorithm>
#include <libtorrent/bdecode.hpp>
#include <libtorrent/entry.hpp>
#include <string>
#include <string_view>

namespace codio::dht {

namespace lt = libtorrent;

namespace {

/// Nodes told: BEP 5 has the 8 closest, of which some may be gone.
constexpr std::size_t kNodes = 16;

std::string text_of(const Key& key) { return {key.begin(), key.end()}; }

}  // namespace

void DirectAnnouncements::begin(lt::session_handle& session, const Key& key, const std::set<lt::sha1_hash>& ids) {
  const auto [begun, is_new] = announcements_.try_emplace(key);
  if (!is_new) return;
  begun->second.waits_for = ids;
  for (const lt::sha1_hash& id : ids) session.dht_live_nodes(id);
}

void DirectAnnouncements::handle_nodes(lt::session_handle& session, const lt::dht_live_nodes_alert& known) {
  const auto all = known.nodes();
  for (auto& [key, announcement] : announcements_) {
    if (announcement.waits_for.erase(known.node_id) == 0) continue;
    auto nodes = all;
    const lt::sha1_hash target(text_of(key).data());
    std::ranges::sort(nodes, [&](const auto& a, const auto& b) { return (a.first ^ target) < (b.first ^ target); });
    nodes.resize(std::min(nodes.size(), kNodes));
    for (const auto& [id, endpoint] : nodes) {
      lt::entry arguments;
      arguments["info_hash"] = text_of(key);
      ask(session, endpoint, {key}, std::move(arguments));
    }
  }
}

void DirectAnnouncements::handle_answer(lt::session_handle& session, const lt::dht_direct_response_alert& answer) {
  const auto asked = questions_.extract(answer.userdata.get<Question>());
  if (asked.empty()) return;
  const Question question = *asked.mapped();
  const auto found = announcements_.find(question.key);
  if (found == announcements_.end()) return;
  const lt::bdecode_node response = answer.response();
  const lt::bdecode_node values =
      response.type() == lt::bdecode_node::dict_t ? response.dict_find_dict("r") : lt::bdecode_node();
  if (question.is_announcement) {
    --found->second.told;
    if (values) ++found->second.taken;
    return;
  }
  const auto token = values ? values.dict_find_string_value("token") : lt::string_view();
  if (token.empty()) return;
  ++found->second.told;
  lt::entry arguments;
  arguments["info_hash"] = text_of(question.key);
  arguments["port"] = http_port_;
  arguments["token"] = std::string(token.data(), token.size());
  ask(session, answer.endpoint, {question.key, true}, std::move(arguments));
}

std::vector<Key> DirectAnnouncements::take_announced() {
  std::vector<Key> taken;
  for (const auto& [key, announcement] : announcements_) {
    if (announcement.taken > 0 && announcement.told == 0) taken.push_back(key);
  }
  for (const Key& key : taken) forget(key);
  return taken;
}

void DirectAnnouncements::ask(lt::session_handle& session, const lt::udp::endpoint& node, Question question,
                              lt::entry arguments) {
  lt::entry message;
  message["q"] = question.is_announcement ? "announce_peer" : "get_peers";
  message["a"] = std::move(arguments);
  auto kept = std::make_unique<Question>(question);
  Question* const cookie = kept.get();
  questions_.emplace(cookie, std::move(kept));
  session.dht_direct_request(node, message, lt::client_data_t(cookie));
}

}  // namespace codio::dht
