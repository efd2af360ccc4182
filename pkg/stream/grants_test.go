package stream

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestGrants(t *testing.T) {
	t.Parallel()
	names := Config{Prefix: "eu."}.Names()
	for _, grantee := range Grantees() {
		grants := Grants(grantee, names, []string{"stripe", "shop"})
		require.NotEmpty(t, grants, grantee)
		seen := map[Grant]bool{}
		for _, g := range grants {
			require.False(t, seen[g], "%s: %s twice", grantee, g)
			seen[g] = true
			if g.Resource == kmsg.ACLResourceTypeCluster {
				require.Equal(t, Operator, grantee)
				continue
			}
			require.True(t, strings.HasPrefix(g.Name, "eu."), g)
			require.Equal(t, g.Prefixed, strings.HasSuffix(g.Name, "-"), "%s", g)
		}
	}
	require.Empty(t, Grants("nobody", names, nil))
	require.Equal(t, []Grant{
		{kmsg.ACLResourceTypeTopic, "raw.stripe", false, kmsg.ACLOperationWrite},
		{kmsg.ACLResourceTypeTopic, "raw.stripe", false, kmsg.ACLOperationDescribeConfigs},
	}, Grants(Receiver, Names{}, []string{"stripe"}))
	require.Equal(t, "WRITE on topic raw.stripe", Grants(Receiver, Names{}, []string{"stripe"})[0].String())
}
