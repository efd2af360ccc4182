package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/throughline-dev/throughline/pkg/accounts"
	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/source/catalog"
)

// sources are the settings of sources, under the names that the services read
// them by. A command that does not need them is not refused for a wrong one.
type sources struct {
	Flags kong.Plugins `embed:""`

	settings *settings.SourceSettings
	set      source.Set // the vendors alone until the settings are read, and where they are wrong
}

// newSources reads the names of named sources ahead, as args and the environment
// have them.
func newSources(args []string, lookup func(string) (string, bool)) sources {
	var apis []string
	for _, src := range catalog.Set().Sources() {
		_, pages := src.(source.Pager)
		_, learns := src.(source.Learner)
		_, subscribes := src.(source.Subscriber)
		if pages || learns || subscribes {
			apis = append(apis, src.Name())
		}
	}
	s := catalog.NewSettings(args, lookup, settings.WithAPIs(apis...))
	return sources{Flags: s.Plugins(), settings: s, set: catalog.Set()}
}

// sourced is a command that is given names of sources, or ids at them.
type sourced interface {
	// checkSources finds what the set does not have.
	checkSources(set source.Set) error
}

// take makes the set, after Parse.
func (s *sources) take() error {
	set, err := catalog.FromSettings(s.settings)
	if err == nil {
		s.set = set
	}
	return err
}

// check finds what is wrong with the settings, where a command uses them, and with
// what it was given.
func (s *sources) check(c *connections) error {
	err := s.take()
	if c.needed&(needsSources|needsReceiver|needsAPI) == 0 {
		return nil
	}
	if command, ok := c.chosen.(sourced); ok && err == nil {
		return command.checkSources(s.set)
	}
	return err
}

// isReceiverFlag reports whether a flag is one of these settings that says how a
// source is received, and not what it is.
func isReceiverFlag(flag *kong.Flag) bool {
	return isSourceFlag(flag) && !strings.HasSuffix(flag.Name, "-mapping") && !strings.HasSuffix(flag.Name, "-column") && flag.Name != "named-sources"
}

// isAPIFlag reports whether a flag is one of these settings that says how a vendor's
// API is called.
func isAPIFlag(flag *kong.Flag) bool {
	return isSourceFlag(flag) && strings.Contains(flag.Name, "-api-")
}

// isSourceFlag reports whether a flag is one of these settings.
func isSourceFlag(flag *kong.Flag) bool {
	return flag.Group != nil && strings.HasPrefix(flag.Group.Key, "Source")
}

// checkSource finds whether the name is one of the set's, or empty.
func checkSource(set source.Set, name string) error {
	if _, ok := set.Find(name); !ok && name != "" {
		return fmt.Errorf("there is no source %q: the sources are %s", name, strings.Join(set.Names(), ", "))
	}
	return nil
}

// reference is a reference as a person writes it (accounts.ParseReference).
type reference string

// check finds what is wrong with it, or nothing when it is empty.
func (r reference) check(set source.Set) error {
	if r == "" {
		return nil
	}
	_, err := r.parse(set)
	return err
}

// parse reads the reference.
func (r reference) parse(set source.Set) (source.Reference, error) {
	head, _, ok := strings.Cut(string(r), ":")
	name, _, _ := strings.Cut(head, "/")
	name = strings.ToLower(strings.TrimSpace(name))
	if ok && !slices.Contains([]string{source.KindEmail, source.KindDomain, source.KindAccountUUID}, name) {
		if err := checkSource(set, name); err != nil {
			return source.Reference{}, err
		}
	}
	return accounts.ParseReference(string(r), set.Kinds)
}
