#include "transfer/token_bucket.h"

#include <gtest/gtest.h>
#include <limits>
#include <optional>

namespace codio::transfer {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Time kBegin = Time{} + seconds(1000);
constexpr std::uint64_t kUnlimited = std::numeric_limits<std::uint64_t>::max();

TEST(TokenBucket, WithoutARateEverythingIsAvailable) {
  TokenBucket bucket;
  bucket.take(1'000'000'000);
  EXPECT_EQ(bucket.available(kBegin), kUnlimited);
}

TEST(TokenBucket, FillsAtItsRateFromEmpty) {
  TokenBucket bucket;
  bucket.set_rate(100'000);
  EXPECT_EQ(bucket.available(kBegin), 0U);
  EXPECT_EQ(bucket.available(kBegin + milliseconds(250)), 25'000U);
  bucket.take(25'000);
  EXPECT_EQ(bucket.available(kBegin + milliseconds(250)), 0U);
}

TEST(TokenBucket, HoldsWhatComesInDuringASecond) {
  TokenBucket bucket;
  bucket.set_rate(100'000);
  bucket.available(kBegin);
  EXPECT_EQ(bucket.available(kBegin + seconds(60)), 100'000U);
}

TEST(TokenBucket, HoldsAFewPiecesHoweverLowItsRate) {
  TokenBucket bucket;
  bucket.set_rate(1000);
  bucket.available(kBegin);
  EXPECT_EQ(bucket.available(kBegin + seconds(600)), 4 * TokenBucket::kPiece);
}

TEST(TokenBucket, ADebtIsPaidFirst) {
  TokenBucket bucket;
  bucket.set_rate(100'000);
  bucket.available(kBegin);
  bucket.take(50'000);
  EXPECT_EQ(bucket.available(kBegin + milliseconds(500)), 0U);
  EXPECT_EQ(bucket.available(kBegin + milliseconds(600)), 10'000U);
}

TEST(TokenBucket, SaysWhenAPieceIsThere) {
  TokenBucket bucket;
  bucket.set_rate(TokenBucket::kPiece);
  bucket.available(kBegin);
  const Time ready = bucket.ready_at();
  EXPECT_LT(bucket.available(ready - milliseconds(1)), TokenBucket::kPiece);
  EXPECT_GE(bucket.available(ready), TokenBucket::kPiece);
}

TEST(TokenBucket, ANewRateStartsEmptyAndTheSameGoesOn) {
  TokenBucket bucket;
  bucket.set_rate(100'000);
  bucket.available(kBegin);
  EXPECT_EQ(bucket.available(kBegin + seconds(1)), 100'000U);
  bucket.set_rate(100'000);
  EXPECT_EQ(bucket.available(kBegin + seconds(1)), 100'000U);
  bucket.set_rate(200'000);
  EXPECT_EQ(bucket.available(kBegin + seconds(1)), 0U);
  bucket.set_rate(std::nullopt);
  EXPECT_EQ(bucket.available(kBegin + seconds(1)), kUnlimited);
}

TEST(TokenBucket, ARateOfZeroCountsAsOne) {
  TokenBucket bucket;
  bucket.set_rate(0);
  bucket.available(kBegin);
  EXPECT_EQ(bucket.available(kBegin + seconds(10)), 10U);
}

TEST(TokenBucket, AnAbsurdRateIsTheLargest) {
  TokenBucket bucket;
  bucket.set_rate(kUnlimited);
  bucket.available(kBegin);
  EXPECT_EQ(bucket.available(kBegin + seconds(1000)), TokenBucket::kLargestRate);
}

}  // namespace
}  // namespace codio::transfer
