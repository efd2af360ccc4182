package cli_test

import (
	"testing"

	"github.com/stretchr/testify/require"

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

// A broker that takes connections and says nothing, first in the list, is not waited for.
func TestTheFirstBrokerIsFrozen(t *testing.T) {
	t.Parallel()
	sh := &shell{t: t, env: map[string]string{"THROUGHLINE_KAFKA_BROKERS": streamtest.Frozen(t).Addr() + "," + streamtest.Embedded(t)[0]}}
	require.Contains(t, sh.must("topics", "apply"), "account-events")
}
