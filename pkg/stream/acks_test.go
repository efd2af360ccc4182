package stream

import (
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// What a Publisher calls acknowledged, all in-sync replicas have; and what the
// client tries again is written once.
func TestEveryProduceAsksAllReplicasAndIsIdempotent(t *testing.T) {
	t.Parallel()
	_, client, cluster := ready(t)
	var produced, wrong atomic.Int64
	cluster.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		produce := req.(*kmsg.ProduceRequest)
		produced.Add(1)
		if produce.Acks != -1 {
			wrong.Add(1)
		}
		for _, topic := range produce.Topics {
			for _, partition := range topic.Partitions {
				var batch kmsg.RecordBatch
				if batch.ReadFrom(partition.Records) != nil || batch.ProducerID < 0 || batch.FirstSequence < 0 {
					wrong.Add(1)
				}
			}
		}
		return nil, nil, false
	})
	publish(t, client, 0, 20)
	errs := NewPublisher(client).PublishEach(t.Context(), []*kgo.Record{{Topic: RawTopic("stripe"), Value: []byte("x")}})
	require.NoError(t, errs[0])
	require.Positive(t, produced.Load())
	require.Zero(t, wrong.Load())
}
