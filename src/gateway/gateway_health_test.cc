#include "gateway/gateway_health.h"

#include <fstream>
#include <gtest/gtest.h>
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <string>

namespace codio::gateway {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;
using Request = GatewayHealth::Request;

json cases() {
  std::ifstream file(CODIO_SOURCE_DIR "/testdata/gateway-health.json");
  return json::parse(file).at("cases");
}

Time at(const json& ms) { return Time(milliseconds(ms.get<std::int64_t>())); }
std::int64_t to_ms(Duration duration) { return std::chrono::duration_cast<milliseconds>(duration).count(); }

Ending ending_of(const std::string& name) {
  static const std::map<std::string, Ending> kEndings{{"block", Ending::kBlock},   {"missing", Ending::kMissing},
                                                      {"failed", Ending::kFailed}, {"lied", Ending::kLied},
                                                      {"outrun", Ending::kOutrun}, {"cancelled", Ending::kCancelled}};
  return kEndings.at(name);
}

/// Plays one case of testdata/gateway-health.json.
class Play {
 public:
  explicit Play(const json& given)
      : count_(given.at("gateways").get<std::size_t>()), health_(count_, options_of(given)) {
    for (const json& step : given.at("steps")) {
      SCOPED_TRACE(step.dump());
      for (int i = step.value("repeat", 1); i > 0; --i) play(step);
    }
  }

 private:
  static HealthOptions options_of(const json& given) {
    HealthOptions options;
    const json changes = given.value("options", json::object());
    options.max_per_gateway = changes.value("maxPerGateway", options.max_per_gateway);
    options.most_failures = changes.value("mostFailures", options.most_failures);
    return options;
  }

  void play(const json& step) {
    const Time now = at(step.at("at"));
    const json gives = step.value("gives", json());
    if (step.contains("choose")) {
      const auto choice = health_.choose(now, asked(step.at("choose")));
      EXPECT_EQ(said(choice), gives);
      if (choice.request) requests_[step.at("as")] = *choice.request;
    } else if (step.contains("hedge")) {
      const auto request = health_.choose_hedge(now, asked(step.at("hedge")));
      EXPECT_EQ(request ? json(request->gateway) : json("nobody"), gives);
      if (request) requests_[step.value("as", "")] = *request;
    } else if (step.contains("look")) {
      EXPECT_EQ(health_.is_late(now, request(step.at("look")), step.at("bytes").get<std::uint64_t>()), gives);
    } else if (step.contains("due")) {
      EXPECT_EQ(to_ms(health_.next_look(request(step.at("due"))) - Time{}), gives);
    } else if (step.contains("delay")) {
      EXPECT_EQ(to_ms(health_.hedge_delay(step.at("delay").get<std::size_t>())), gives);
    } else if (step.contains("first")) {
      health_.handle_first_byte(now, request(step.at("first")));
    } else if (step.contains("busy")) {
      health_.handle_busy(now, request(step.at("busy")), milliseconds(step.at("for").get<std::int64_t>()));
    } else {
      health_.handle_end(now, request(step.at("end")), ending_of(step.at("how")));
    }
  }

  Request& request(const json& name) { return requests_.at(name.get<std::string>()); }

  std::vector<bool> asked(const json& list) const {
    std::vector<bool> result(count_);
    for (const json& one : list) result[one.get<std::size_t>()] = true;
    return result;
  }

  static json said(const GatewayHealth::Choice& choice) {
    if (choice.request) return choice.request->gateway;
    if (!choice.wait_until) return "nobody";
    if (*choice.wait_until == Time::max()) return "room";
    return {{"at", to_ms(*choice.wait_until - Time{})}};
  }

  const std::size_t count_;
  GatewayHealth health_;
  std::map<std::string, Request> requests_;
};

TEST(GatewayHealth, DoesWhatTheTableSays) {
  const json all = cases();
  EXPECT_GE(all.size(), 20U);
  for (const json& one : all) {
    SCOPED_TRACE(one.at("name").get<std::string>());
    Play{one};
  }
}

/// Many blocks asked at once of gateways that end requests as chance will have it, on a virtual clock.
class GatewayHealthSeeds : public testing::TestWithParam<unsigned> {};
INSTANTIATE_TEST_SUITE_P(Seeds, GatewayHealthSeeds, testing::Range(0U, 200U));

TEST_P(GatewayHealthSeeds, KeepsItsPromises) {
  std::mt19937 random(GetParam());
  const auto roll = [&](unsigned sides) { return static_cast<unsigned>(random() % sides); };
  const std::size_t count = 1 + roll(4);
  const HealthOptions options{.max_per_gateway = 1 + roll(4)};
  GatewayHealth health(count, options);
  std::vector<Request> running;
  std::vector<bool> lied(count);
  std::vector<Time> banned(count);
  std::size_t blocks = 0;
  std::size_t useless_hedges = 0;
  Time now{};

  const auto check_asked = [&](const Request& request) {
    EXPECT_FALSE(lied[request.gateway]);
    EXPECT_GE(now, banned[request.gateway]);
    running.push_back(request);
    EXPECT_LE(std::ranges::count(running, request.gateway, &Request::gateway), options.max_per_gateway);
  };
  for (int step = 0; step < 2000; ++step) {
    now += milliseconds(roll(200));
    std::vector<bool> asked(count);
    for (std::size_t i = 0; i < count; ++i) asked[i] = roll(3) == 0;
    const unsigned what = roll(8);
    if (what < 3) {
      const auto choice = health.choose(now, asked);
      if (choice.request) {
        EXPECT_FALSE(asked[choice.request->gateway]);
        check_asked(*choice.request);
      } else if (choice.wait_until && *choice.wait_until != Time::max()) {
        EXPECT_GT(*choice.wait_until, now);
        EXPECT_LE(*choice.wait_until, now + options.longest_ban);
      } else if (!choice.wait_until) {
        for (std::size_t i = 0; i < count; ++i) EXPECT_TRUE(asked[i] || lied[i]);
      } else {
        EXPECT_FALSE(running.empty());
      }
    } else if (what == 3) {
      if (const auto hedge = health.choose_hedge(now, asked)) {
        ++useless_hedges;  // None is ever outrun here.
        check_asked(*hedge);
      }
    } else if (!running.empty()) {
      const auto chosen = running.begin() + roll(static_cast<unsigned>(running.size()));
      if (what == 4) {
        health.is_late(now, *chosen, chosen->seen_bytes + roll(9000));
        continue;
      }
      if (what == 5) {
        health.handle_first_byte(now, *chosen);
        EXPECT_GE(health.hedge_delay(chosen->gateway), options.least_hedge);
        EXPECT_LE(health.hedge_delay(chosen->gateway), options.most_hedge);
        continue;
      }
      const Request request = *chosen;
      running.erase(chosen);
      if (what == 6 && roll(10) == 0) {
        const Duration wait = std::chrono::seconds(roll(1000));
        health.handle_busy(now, request, wait);
        banned[request.gateway] = std::max(
            banned[request.gateway], now + std::clamp<Duration>(wait, std::chrono::seconds(1), options.longest_ban));
      } else if (what == 6 && roll(50) == 0) {
        health.handle_end(now, request, Ending::kLied);
        lied[request.gateway] = true;
      } else if (roll(2) == 0) {
        health.handle_end(now, request, Ending::kFailed);
      } else {
        health.handle_end(now, request, Ending::kBlock);
        ++blocks;
      }
    }
    EXPECT_LE(static_cast<double>(useless_hedges), 16 + 0.1 * static_cast<double>(blocks) + 1e-9);
  }
}

}  // namespace
}  // namespace codio::gateway
