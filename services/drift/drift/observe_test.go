package drift

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/stream"
)

// What is read of a source is all of it, in its order, and one piece at a time.
func TestInPieces(t *testing.T) {
	t.Parallel()
	for range 20 {
		var batch []*kgo.Record
		want := map[string]int{"a": 10*pieceRecords + 1, "b": 1, "c": 0, "d": 10 * pieceRecords, "e": pieceRecords}
		for source, n := range want {
			for i := range n + 1 { // one of each is counted already
				batch = append(batch, &kgo.Record{Topic: stream.RawTopic(source), Partition: int32(i % 3 / 2), Offset: int64(i)})
			}
		}
		progress := map[postgres.Partition]postgres.RawProgress{}
		for source := range want {
			progress[postgres.Partition{Topic: stream.RawTopic(source)}] = postgres.RawProgress{Next: 1}
		}
		shares, next := sharesOf(batch, progress)
		require.Equal(t, int64(10*pieceRecords+1), next[postgres.Partition{Topic: "raw.a"}].Next)
		require.Equal(t, int64(10*pieceRecords+2), next[postgres.Partition{Topic: "raw.a", ID: 1}].Next)
		require.NotContains(t, next, postgres.Partition{Topic: "raw.c"}, "it is counted")
		require.Len(t, shares, len(want))
		busy, read := map[string]*atomic.Int32{}, map[string]*[]int64{}
		for source := range want {
			busy[source], read[source] = new(atomic.Int32), new([]int64)
		}
		inPieces(shares, func(source string, piece []*kgo.Record) {
			if n := busy[source].Add(1); n > 1 || len(piece) > pieceRecords {
				panic(fmt.Sprintf("%d read %d records of %s", n, len(piece), source))
			}
			for _, rec := range piece {
				*read[source] = append(*read[source], rec.Offset)
			}
			busy[source].Add(-1)
		})
		for source, n := range want {
			require.Len(t, *read[source], n, source)
			for i, offset := range *read[source] {
				require.Equal(t, int64(i+1), offset, source)
			}
		}
	}
}
