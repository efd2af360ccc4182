package cli

import (
	"slices"

	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/stream"
)

// Command is a command that another package implements.
type Command struct {
	Name, Help string
	// Target is a pointer to a kong struct. Its Run method may take, in any order,
	// a context.Context, an io.Writer (standard output), the Streams and the
	// Connections. Its flags must not repeat those of the connections.
	Target any
	// Postgres, Kafka and Sources: it uses the connection, or the sources with
	// their secrets, so their flags are shown in --help and checked.
	Postgres, Kafka, Sources bool
}

// Connections are the shared settings that were given, without the defaults of
// connections that stand for `make run`: what a command of another package needs
// to tell "use this one" from "use your own".
type Connections struct {
	Kafka    stream.Config
	Postgres postgres.Config
	// Sources are the vendors' and the named ones, and Settings gives what is set
	// for one of them (settings.SourceSettings.Get).
	Sources  source.Set
	Settings func(name string) settings.SourceSetting
}

func (c Command) needs() need {
	var n need
	if c.Postgres {
		n |= needsPostgres | needsSession
	}
	if c.Kafka {
		n |= needsKafka
	}
	if c.Sources {
		n |= needsReceiver
	}
	return n
}

// set gives what somebody set; the URL and the brokers are empty where nobody has, or where they are those of `make run`, which
// `make run` itself may be given.
func (s *session) set() (Connections, error) {
	c := Connections{
		Kafka: stream.Config(s.root.Kafka), Postgres: postgres.Config(s.root.Postgres),
		Sources: s.root.Sources.set, Settings: s.root.Sources.settings.Get,
	}
	if slices.Equal(c.Kafka.Brokers, []string{LocalBroker}) {
		c.Kafka = stream.Config{}
	}
	if c.Postgres.URL == LocalPostgres {
		c.Postgres.URL = ""
	}
	return c, nil
}
