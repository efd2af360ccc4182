//go:build chart

package charttest

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.yaml.in/yaml/v3"

	"github.com/throughline-dev/throughline/pkg/source/catalog"
	"github.com/throughline-dev/throughline/pkg/stream"
)

// Strimzi's users may do what stream.Grants says, and no more.
func TestUsersHaveTheGrants(t *testing.T) {
	t.Parallel()
	type user struct {
		Kind     string   `yaml:"kind"`
		Metadata metadata `yaml:"metadata"`
		Spec     struct {
			Authorization struct {
				ACLs []struct {
					Resource struct {
						Type        string `yaml:"type"`
						Name        string `yaml:"name"`
						PatternType string `yaml:"patternType"`
					} `yaml:"resource"`
					Operations []string `yaml:"operations"`
				} `yaml:"acls"`
			} `yaml:"authorization"`
		} `yaml:"spec"`
	}
	const file = chart + "/ci/operators.yaml"
	names := stream.Config{Prefix: "eu_"}.Names()
	all := append(catalog.Set().Names(), "billing")
	sources := map[string][]string{stream.Receiver: {"billing", "hubspot", "stripe"}, stream.Normalizer: all, stream.Sink: all, stream.Quarantine: all, stream.Console: all}
	decoder, seen := yaml.NewDecoder(strings.NewReader(render(t, "helm4", file))), 0
	for {
		var u user
		if err := decoder.Decode(&u); err != nil {
			break
		}
		if u.Kind != "KafkaUser" {
			continue
		}
		seen++
		service := u.Metadata.Labels["app.kubernetes.io/component"]
		var have []stream.Grant
		for _, acl := range u.Spec.Authorization.ACLs {
			resource, err := kmsg.ParseACLResourceType(acl.Resource.Type)
			require.NoError(t, err)
			require.Contains(t, []string{"literal", "prefix"}, acl.Resource.PatternType)
			for _, name := range acl.Operations {
				operation, err := kmsg.ParseACLOperation(name)
				require.NoError(t, err)
				have = append(have, stream.Grant{Resource: resource, Name: acl.Resource.Name, Prefixed: acl.Resource.PatternType == "prefix", Operation: operation})
			}
		}
		require.ElementsMatch(t, stream.Grants(service, names, sources[service]), have, service)
	}
	require.Len(t, sources, seen)
}
