package broker_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/sr"

	"github.com/throughline-dev/throughline/pkg/local/broker"
)

func registry(t *testing.T, opts ...broker.RegistryOption) (*broker.Registry, *sr.Client) {
	t.Helper()
	r, err := broker.StartRegistry("127.0.0.1:0", opts...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, r.Close()) })
	client, err := sr.NewClient(sr.URLs(r.URL()))
	require.NoError(t, err)
	return r, client
}

func register(t *testing.T, client *sr.Client, subject, schema string) int {
	t.Helper()
	got, err := client.CreateSchema(t.Context(), subject, sr.Schema{Schema: schema})
	require.NoError(t, err)
	return got.ID
}

func TestRegistryKeepsIDs(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "registry")

	first, client := registry(t, broker.KeepIn(dir))
	one := register(t, client, "one-value", `"string"`)
	two := register(t, client, "two-value", `"bytes"`)
	require.NotEqual(t, one, two)
	require.Equal(t, one, register(t, client, "three-value", `"string"`), "one schema has one id")
	require.NoError(t, first.Close())

	// Registered in another order, as services that start side by side do.
	_, client = registry(t, broker.KeepIn(dir))
	require.Equal(t, two, register(t, client, "two-value", `"bytes"`))
	require.Equal(t, one, register(t, client, "one-value", `"string"`))
	require.Equal(t, one, register(t, client, "three-value", `"string"`))
	require.Greater(t, register(t, client, "four-value", `"long"`), two)
}

func TestRegistryInMemoryForgets(t *testing.T) {
	t.Parallel()
	first, client := registry(t)
	register(t, client, "one-value", `"string"`)
	require.NoError(t, first.Close())
	require.NoError(t, first.Close(), "a second close is harmless")

	_, client = registry(t)
	subjects, err := client.Subjects(t.Context())
	require.NoError(t, err)
	require.Empty(t, subjects)
}

func TestRegistryRefuses(t *testing.T) {
	t.Parallel()

	t.Run("ATakenPort", func(t *testing.T) {
		t.Parallel()
		holder, _ := registry(t)
		_, err := broker.StartRegistry(holder.URL()[len("http://"):])
		require.ErrorIs(t, err, syscall.EADDRINUSE)
		require.ErrorContains(t, err, "choose another port")
	})

	for name, content := range map[string]string{
		"AFileThatIsNotJSON":      `[`,
		"AFileThatContradicts":    `[{"subject":"a","version":1,"id":1,"schema":"\"string\""},{"subject":"a","version":1,"id":2,"schema":"\"bytes\""}]`,
		"AnIDWithTwoSchemas":      `[{"subject":"a","version":1,"id":1,"schema":"\"string\""},{"subject":"b","version":1,"id":1,"schema":"\"bytes\""}]`,
		"AFileWithAnInvalidEntry": `[{"subject":"a","version":1,"id":1,"schema":""}]`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			require.NoError(t, os.WriteFile(filepath.Join(dir, "schemas.json"), []byte(content), 0o600))
			_, err := broker.StartRegistry("127.0.0.1:0", broker.KeepIn(dir))
			require.ErrorContains(t, err, filepath.Join(dir, "schemas.json"))
		})
	}

	t.Run("AnAnswerItCannotKeep", func(t *testing.T) {
		t.Parallel()
		dir := filepath.Join(t.TempDir(), "registry")
		_, client := registry(t, broker.KeepIn(dir))
		require.NoError(t, os.WriteFile(dir, nil, 0o600), "a file where the directory should be")
		_, err := client.CreateSchema(t.Context(), "one-value", sr.Schema{Schema: `"string"`})
		require.ErrorContains(t, err, "saving the schemas")
	})
}
