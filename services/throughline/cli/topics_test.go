package cli_test

import (
	"testing"

	"github.com/throughline-dev/throughline/pkg/stream/streamtest"
)

func TestTopics(t *testing.T) {
	t.Parallel()
	sh := &shell{t: t, env: map[string]string{"THROUGHLINE_KAFKA_BROKERS": streamtest.Embedded(t)[0]}}
	sh.golden("topics", nil,
		[]string{"topics", "apply", "--sources", "stripe,hubspot", "--partitions", "3"},
		[]string{"topics", "apply", "--raw-retention", "24h"},
		[]string{"topics", "apply", "--raw-retention", "24h", "--json"},
		[]string{"topics", "apply", "--raw-retention", "24h", "--sources", "stripe", "--replication-factor", "3"},
		[]string{"topics", "apply", "--sources", "strype"},
	)
}
