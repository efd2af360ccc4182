package settingstest_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/pkg/settings/settingstest"
)

// Good is a configuration that keeps the rules. The others embed it.
type Good struct {
	settings.Common
	Password settings.Secret `name:"kafka-password" env:"THROUGHLINE_KAFKA_PASSWORD"`
	URL      settings.URL    `name:"postgres-url" env:"THROUGHLINE_POSTGRES_URL" file:""`
	Most     int             `name:"most" default:"7"`
	Sources  kong.Plugins    `embed:""`
	sources  *settings.SourceSettings
}

func (g *Good) Validate() error {
	if g.URL == "" {
		return errors.New("THROUGHLINE_POSTGRES_URL is not set")
	}
	return nil
}

func newGood() *Good {
	sources := settings.NewSourceSettings([]string{"stripe"})
	return &Good{Sources: sources.Plugins(), sources: sources}
}

type plainPassword struct {
	Good
	Other string `name:"other-password"`
}

type plainVariable struct {
	Good
	Other string `name:"other" env:"THROUGHLINE_API_TOKEN"`
}

// shown is hidden by name only.
type shown struct {
	Good
	Other printing `name:"other-password" file:""`
}

type printing string

type quoting struct {
	Good
	Secret settings.Secret `name:"other-secret"`
}

func (q *quoting) Validate() error { return fmt.Errorf("--other-secret is %q", string(q.Secret)) }

type keeping struct {
	Good
	kept []string
}

func (k *keeping) Validate() error {
	k.kept = append(k.kept, "made by Validate")
	return k.Good.Validate()
}

type correcting struct{ Good }

func (c *correcting) Validate() error {
	c.Most = 8
	return c.Good.Validate()
}

// A check that cannot fail checks nothing.
func TestCheck(t *testing.T) {
	t.Parallel()
	env := map[string]string{"THROUGHLINE_POSTGRES_URL": "postgres://db/t"}
	for name, tc := range map[string]struct {
		fresh func() any
		want  string
	}{
		"good":                   {func() any { return newGood() }, ""},
		"a plain password":       {func() any { return &plainPassword{Good: *newGood()} }, "other-password is of a type that prints its value"},
		"a plain variable":       {func() any { return &plainVariable{Good: *newGood()} }, "THROUGHLINE_API_TOKEN is of a type that prints its value"},
		"a file and no secret":   {func() any { return &shown{Good: *newGood()} }, "other-password is of a type that prints its value"},
		"a problem that quotes":  {func() any { return &quoting{Good: *newGood()} }, "a problem must not repeat a secret"},
		"Validate that keeps":    {func() any { return &keeping{Good: *newGood()} }, "Validate should keep nothing"},
		"Validate that corrects": {func() any { return &correcting{Good: *newGood()} }, "Defaults and Parse should agree"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var r recorder
			r.run(func() { settingstest.Check(&r, tc.fresh, env) })
			if tc.want == "" {
				require.Empty(t, r.text)
				return
			}
			require.Contains(t, r.text, tc.want)
		})
	}
	t.Run("an invalid environment", func(t *testing.T) {
		t.Parallel()
		var r recorder
		r.run(func() { settingstest.Check(&r, func() any { return newGood() }, nil) })
		require.Contains(t, r.text, "the environment should be a valid one")
	})
}

// recorder is a test that fails without failing.
type recorder struct{ text string }

type failed struct{}

func (r *recorder) Errorf(format string, args ...any) { r.text += fmt.Sprintf(format, args...) }
func (*recorder) FailNow()                            { panic(failed{}) }
func (*recorder) Helper()                             {}

func (r *recorder) run(check func()) {
	defer func() {
		if p := recover(); p != nil && p != any(failed{}) {
			panic(p)
		}
	}()
	check()
}
