#include <gtest/gtest.h>

/// dcsctp::OutstandingData::IsConsistent() const
extern "C" bool is_consistent(const void* outstanding_data) asm("_ZNK6dcsctp15OutstandingData12IsConsistentEv");

namespace codio::webrtc {
namespace {

TEST(SctpCheck, DoesNotLookAtWhatIsUnderWay) { EXPECT_TRUE(is_consistent(nullptr)); }

}  // namespace
}  // namespace codio::webrtc
