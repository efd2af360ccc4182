package e2e

import (
	"context"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/throughline-dev/throughline/deploy/composetest"
	"github.com/throughline-dev/throughline/pkg/local/pgserver"
	"github.com/throughline-dev/throughline/pkg/source/catalog"
	"github.com/throughline-dev/throughline/pkg/stream/streamtest"
)

// placement is what decides where a broker runs: the one setting of docker-compose.yml's broker that the test's does
// not have.
var placement = []string{
	"node.id", "process.roles", "controller.quorum.voters", "controller.listener.names", "inter.broker.listener.name",
	"listeners", "advertised.listeners", "listener.security.protocol.map", "log.dirs",
}

// composed is the system of docker-compose.yml without containers: the same programs, with the variables, arguments,
// order and health checks that the file gives. Beside placement, only what local and in says is another.
type composed struct {
	*place
	secrets  string // directory
	local    map[string]string
	children map[string]*child
}

// in gives a container's environment with the addresses and paths of this machine. Each service has an admin address
// of its own, as each container has.
func (c *composed) in(s types.ServiceConfig) (env []string) {
	admin := freeAddress(c.t)
	for name, value := range composetest.Environment(s) {
		switch there, ok := c.local[value]; {
		case ok:
			value = there
		case value == ":9090":
			value = admin
		case strings.HasPrefix(value, composetest.Secrets):
			value = filepath.Join(c.secrets, strings.TrimPrefix(value, composetest.Secrets))
		}
		env = append(env, name+"="+value)
	}
	return env
}

// TestCompose starts what docker-compose.yml starts, in its order, on Apache Kafka with the file's settings, on
// Postgres with its user and database and the secrets that its script makes, and tells the story. The registry is the
// one of the tests; what the images of others do with their environment, and what containers alone show (users, volumes,
// networks), is not seen here.
func TestCompose(t *testing.T) {
	t.Parallel()
	project := composetest.Load(t, "PUBLIC_URL="+publicURL)
	c := &composed{secrets: filepath.Join(t.TempDir(), "secrets"), children: map[string]*child{}}
	composetest.MakeSecrets(t, c.secrets)
	for _, name := range catalog.Set().Names() { // a vendor's own, as its user puts it there
		require.NoError(t, os.WriteFile(filepath.Join(c.secrets, name+"-secrets"), []byte(secretOf(name)+"\n"), 0o600))
	}

	properties := composetest.KafkaProperties(project.Services["kafka"])
	for _, key := range placement {
		require.Contains(t, properties, key)
		delete(properties, key)
	}
	brokers := streamtest.Kafka(t, 1, properties).Brokers()
	c.place = newBarePlace(t, brokers, c.database(t, project.Services["postgres"]))
	c.understood(properties)
	listen := freeAddress(t)
	c.local = map[string]string{
		"kafka:9092": brokers[0], "http://schema-registry:8081": c.registry,
		":8080": listen, ":8088": freeAddress(t), "/var/lib/throughline/spool": filepath.Join(t.TempDir(), "spool"),
	}

	for _, name := range composetest.Ordered(t, project) {
		s := project.Services[name]
		if !composetest.Ours(s) || len(s.Profiles) > 0 {
			continue
		}
		file, args := composetest.Program(s)
		p := newChild(t, name, program(t, file), c.in(s)...)
		p.args = args
		p.start()
		if s.Restart != "no" {
			c.children[name] = p
			continue
		}
		await(t, patience, name+" to end", func() (bool, string) { return !p.running(), "" })
		require.NoError(t, p.process.Err(), "%s completed successfully", name)
	}
	require.Len(t, c.children, 9)
	c.tap = newTap(t, c.place)
	for name, p := range c.children {
		test := project.Services[name].HealthCheck.Test
		await(t, patience, name+" to be healthy", func() (bool, string) {
			require.Empty(t, p.died())
			return c.run(p.env, test[1:])
		})
	}
	command := project.Services["throughline"]
	ok, out := c.run(c.in(command), []string{"throughline", "accounts", "list"})
	require.True(t, ok, out)

	tellStory(t, c.place, "http://"+listen, newRand(t))
	for _, p := range c.children {
		p.interrupt()
	}
}

// run runs a command of a container, and says whether it succeeded.
func (c *composed) run(env, command []string) (ok bool, out string) {
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, program(c.t, filepath.Base(command[0])), command[1:]...)
	cmd.Env = env
	text, err := cmd.CombinedOutput()
	return err == nil, string(text)
}

// database starts a Postgres with the user and the database of its container, and points the secret with its address
// there.
func (c *composed) database(t *testing.T, s types.ServiceConfig) string {
	t.Helper()
	env := composetest.Environment(s)
	password, err := os.ReadFile(filepath.Join(c.secrets, strings.TrimPrefix(env["POSTGRES_PASSWORD_FILE"], composetest.Secrets)))
	require.NoError(t, err)
	dir, err := os.MkdirTemp("", "throughline-compose-") // t.TempDir is closed to the user that a server of root's runs as
	require.NoError(t, err)
	require.NoError(t, os.Chmod(dir, 0o755))
	server, err := pgserver.Start(t.Context(), pgserver.Options{
		DataDir: filepath.Join(dir, "data"), User: env["POSTGRES_USER"], Database: env["POSTGRES_DB"], Unsafe: true,
	})
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		require.NoError(t, server.Stop(ctx))
		require.NoError(t, os.RemoveAll(dir))
	})

	file := filepath.Join(c.secrets, "postgres-url")
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	address, err := url.Parse(strings.TrimSpace(string(text)))
	require.NoError(t, err)
	given, _ := address.User.Password()
	require.Equal(t, strings.TrimSpace(string(password)), given, "the server's password is the one in the address")
	require.Equal(t, "postgres:5432", address.Host)
	here, err := url.Parse(server.URL())
	require.NoError(t, err)
	address.Host = here.Host
	require.NoError(t, os.WriteFile(file, []byte(address.String()+"\n"), 0o600))
	return address.String()
}

// understood checks that the broker has each of these settings: it ignores one that it does not know.
func (c *composed) understood(properties map[string]string) {
	c.t.Helper()
	described, err := kadm.NewClient(c.place.kafka).DescribeBrokerConfigs(c.t.Context(), 1)
	require.NoError(c.t, err)
	for key, want := range properties {
		at := slices.IndexFunc(described[0].Configs, func(config kadm.Config) bool { return config.Key == key })
		require.GreaterOrEqual(c.t, at, 0, "%s is no setting of a broker", key)
		require.Equal(c.t, want, described[0].Configs[at].MaybeValue(), key)
	}
}
