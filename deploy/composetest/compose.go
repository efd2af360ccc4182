// Package composetest holds docker-compose.yml to the programs that it starts, and to the rules for what runs beside
// other things on somebody's machine. No container runs here: TestCompose of services/e2e starts the same programs
// with the same settings as processes.
package composetest

import (
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/stretchr/testify/require"
)

// Root is the repository's root, as seen from a package two floors below it, such as this one.
const Root = "../.."

// Secrets is where a container finds the secrets that it is given.
const Secrets = "/run/secrets/"

// Load gives docker-compose.yml with the services of every profile, as compose reads it: checked against the schema of
// the specification, without a .env file, with env (NAME=value) for its variables. The caller's package lies two floors
// below the root.
func Load(t testing.TB, env ...string) *types.Project {
	t.Helper()
	options, err := cli.NewProjectOptions([]string{filepath.Join(Root, "docker-compose.yml")}, cli.WithEnv(env), cli.WithProfiles([]string{"*"}))
	require.NoError(t, err)
	project, err := options.LoadProject(t.Context())
	require.NoError(t, err)
	return project
}

// Environment gives a container's variables.
func Environment(s types.ServiceConfig) map[string]string {
	env := map[string]string{}
	for name, value := range s.Environment {
		if value != nil {
			env[name] = *value
		}
	}
	return env
}

// Ours says whether a service is a program of this repository.
func Ours(s types.ServiceConfig) bool { return s.Build != nil }

// Program gives the program that a container of ours starts, and its arguments.
func Program(s types.ServiceConfig) (name string, args []string) {
	if len(s.Entrypoint) == 0 { // the image's own
		return "throughline", s.Command
	}
	return strings.TrimPrefix(s.Entrypoint[0], "/usr/local/bin/"), append(slices.Clone([]string(s.Entrypoint[1:])), s.Command...)
}

// Ordered gives the names of services in an order in which each comes after all that it depends on.
func Ordered(t testing.TB, project *types.Project) (names []string) {
	t.Helper()
	for len(names) < len(project.Services) {
		before := len(names)
		for _, name := range slices.Sorted(maps.Keys(project.Services)) {
			ready := !slices.Contains(names, name)
			for dependency := range project.Services[name].DependsOn {
				ready = ready && slices.Contains(names, dependency)
			}
			if ready {
				names = append(names, name)
			}
		}
		require.Greater(t, len(names), before, "services depend on one another in a circle")
	}
	return names
}

// KafkaProperties gives what the broker's container makes of its environment: KAFKA_LOG_DIRS is log.dirs.
func KafkaProperties(s types.ServiceConfig) map[string]string {
	properties := map[string]string{}
	for name, value := range Environment(s) {
		if key, ok := strings.CutPrefix(name, "KAFKA_"); ok {
			properties[strings.ReplaceAll(strings.ToLower(key), "_", ".")] = value
		}
	}
	return properties
}

const script = Root + "/deploy/compose/make-secrets"

// MakeSecrets makes the secrets of docker-compose.yml in dir, as its user does, and gives what was printed.
func MakeSecrets(t testing.TB, dir string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "sh", script, dir).CombinedOutput()
	require.NoError(t, err, "%s", out)
	return string(out)
}
