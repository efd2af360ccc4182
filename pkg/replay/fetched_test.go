package replay

import (
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

// What was fetched is replayed, although it was deleted before it was looked at; what was deleted before that is named.
func TestWhatIsDeletedBehindAFetch(t *testing.T) {
	t.Parallel()
	r := Replay{Places: map[int32]Place{0: {Next: 10, End: 100}}}
	fetch := func(start int64, offsets ...int64) {
		p := kgo.FetchTopicPartition{FetchPartition: kgo.FetchPartition{LogStartOffset: start}}
		for _, offset := range offsets {
			p.Records = append(p.Records, &kgo.Record{Offset: offset})
		}
		r.fetched(p)
	}
	fetch(15, 10, 11, 12)
	require.Empty(t, r.Gone)
	require.EqualValues(t, 10, r.Places[0].Next)
	fetch(30, 20, 21)
	require.Equal(t, []Gone{{From: 10, To: 20}}, r.Gone)
	fetch(40)
	require.Equal(t, Gone{From: 20, To: 40}, r.Gone[1])
}
