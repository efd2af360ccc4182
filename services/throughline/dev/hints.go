package dev

import (
	"cmp"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"github.com/throughline-dev/throughline/pkg/source/catalog"
	"github.com/throughline-dev/throughline/services/throughline/cli"
	"github.com/throughline-dev/throughline/services/vendors/story"
)

// program is how a person who has typed make run calls the command line.
const program = "bin/throughline"

// elsewhere says that the command line does not find the secrets and the password file by itself.
func (s *stack) elsewhere() bool {
	here, err := filepath.Abs(cli.LocalSecrets)
	return err != nil || here != filepath.Join(s.command.DataDir, SecretsFile)
}

// sendFlags are what `throughline send` needs beyond its defaults, to reach these receivers; each with a space before it.
func (s *stack) sendFlags(receivers string) string {
	flags := ""
	if receivers != cli.LocalReceiver {
		flags += " --url " + receivers
	}
	if s.elsewhere() {
		flags += " --secrets-file " + quote(filepath.Join(s.command.DataDir, SecretsFile))
	}
	return flags
}

// hints gives the commands to try next, as they are typed: with the addresses in
// use, where those are not what the command line takes by itself.
func (s *stack) hints(a Addresses) []string {
	var lines []string
	if s.database != nil && (s.elsewhere() || !sameServer(s.postgres, cli.LocalPostgres)) {
		lines = append(lines, "export THROUGHLINE_POSTGRES_URL='"+s.postgres+"'")
	}
	if len(s.set.Kafka.Brokers) == 0 && !slices.Equal(a.Kafka, []string{cli.LocalBroker}) {
		lines = append(lines, "export THROUGHLINE_KAFKA_BROKERS="+strings.Join(a.Kafka, ","))
	}
	if a.SchemaRegistry != cli.LocalRegistry && s.command.RegistryURL == "" {
		lines = append(lines, "export THROUGHLINE_SCHEMA_REGISTRY_URL="+a.SchemaRegistry)
	}
	where := s.sendFlags(a.Receivers)
	account := "acme-robotics.example"
	if s.command.NoDemo {
		account = "Acme"
		lines = append(lines, "bin/throughline accounts add Acme --domain acme.example")
	} else {
		lines = append(lines,
			"bin/throughline quarantine list",
			"bin/throughline accounts add 'Nimbus Lab'",
			"bin/throughline link "+story.UnknownCustomer+" 'Nimbus Lab' --wait",
			"bin/throughline timeline 'Nimbus Lab'")
	}
	return append(lines,
		"bin/throughline send stripe invoice.paid --account "+account+" --wait"+where,
		"bin/throughline timeline "+account+" --follow",
		"bin/throughline alerts --all",
		"bin/throughline doctor --admin "+a.Admin,
		"psql '"+a.Postgres+"'")
}

// sameSettings says which settings the commands should have too, where somebody
// set some.
func (s *stack) sameSettings() string {
	var names []string
	if len(s.set.Sources.Names()) != len(catalog.Set().Names()) {
		names = append(names, "THROUGHLINE_NAMED_SOURCES and mappings")
	}
	if s.database == nil {
		names = append(names, "THROUGHLINE_POSTGRES_URL")
	}
	if len(s.set.Kafka.Brokers) > 0 {
		names = append(names, "THROUGHLINE_KAFKA_BROKERS")
	}
	if names == nil {
		return ""
	}
	return " with the same " + strings.Join(names, ", ")
}

// sameServer compares where two database URLs lead, and not as whom.
func sameServer(a, b string) bool {
	one, err := url.Parse(a)
	other, err2 := url.Parse(b)
	return cmp.Or(err, err2) == nil && one.Host == other.Host && one.Path == other.Path
}

// quote makes one word of a shell's command line of a path.
func quote(path string) string {
	if strings.ContainsAny(path, " '\"$`\\&;()<>|*?[]#~!") {
		return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
	}
	return path
}
