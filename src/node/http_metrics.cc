#include "node/http_metrics.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

namespace codio::node {
namespace {

/// Seconds, from what memory answers to what a slow reader takes.
const prometheus::Histogram::BucketBoundaries kBuckets{0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100};

}  // namespace

struct HttpMetrics::Families {
  prometheus::Registry registry;
  prometheus::Family<prometheus::Counter>& requests =
      prometheus::BuildCounter().Name("codio_http_requests_total").Help("Answered requests").Register(registry);
  /// By the status's first digit.
  std::array<prometheus::Counter*, 6> by_status{};
  prometheus::Counter& bytes = prometheus::BuildCounter()
                                   .Name("codio_http_sent_bytes_total")
                                   .Help("Bytes of answers' bodies")
                                   .Register(registry)
                                   .Add({});
  prometheus::Counter& turned_away = prometheus::BuildCounter()
                                         .Name("codio_http_turned_away_total")
                                         .Help("Connections and requests over a limit")
                                         .Register(registry)
                                         .Add({});
  prometheus::Gauge& connections =
      prometheus::BuildGauge().Name("codio_http_connections").Help("Open connections").Register(registry).Add({});
  prometheus::Gauge& pulls = prometheus::BuildGauge()
                                 .Name("codio_http_pulls")
                                 .Help("Answers that fetch content from elsewhere")
                                 .Register(registry)
                                 .Add({});
  prometheus::Histogram& seconds = prometheus::BuildHistogram()
                                       .Name("codio_http_answer_seconds")
                                       .Help("From a request's end to its answer's end")
                                       .Register(registry)
                                       .Add({}, kBuckets);

  Families() {
    for (std::size_t digit = 1; digit < by_status.size(); ++digit) {
      by_status.at(digit) = &requests.Add({{"status", std::to_string(digit) + "xx"}});
    }
  }
};

HttpMetrics::HttpMetrics() : families_(std::make_unique<Families>()) {}
HttpMetrics::~HttpMetrics() = default;

void HttpMetrics::count(const AccessRecord& record) {
  const auto digit = static_cast<std::size_t>(record.status / 100);
  if (digit > 0 && digit < families_->by_status.size()) families_->by_status.at(digit)->Increment();
  families_->bytes.Increment(static_cast<double>(record.bytes));
  families_->seconds.Observe(std::chrono::duration<double>(record.took).count());
}

void HttpMetrics::connected() { families_->connections.Increment(); }
void HttpMetrics::disconnected() { families_->connections.Decrement(); }
void HttpMetrics::turned_away() { families_->turned_away.Increment(); }

std::string HttpMetrics::text(std::size_t pulls) const {
  families_->pulls.Set(static_cast<double>(pulls));
  return prometheus::TextSerializer().Serialize(families_->registry.Collect());
}

}  // namespace codio::node
