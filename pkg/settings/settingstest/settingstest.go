// Package settingstest holds a program's configuration to the rules that every
// configuration here keeps.
package settingstest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"reflect"
	"regexp"
	"strings"

	"github.com/alecthomas/kong"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.yaml.in/yaml/v3"

	"github.com/throughline-dev/throughline/pkg/settings"
)

// T is what Check needs of a *testing.T.
type T interface {
	require.TestingT
	Helper()
}

// Check checks a program's configuration. fresh makes it as main does: a pointer
// to a struct that settings.Parse takes. env is an environment with which it is
// valid.
//
//   - A setting that is named like a secret is hidden, however the configuration
//     is printed, logged or encoded, and so is each that can be read from a file.
//   - What code gets from settings.Defaults is what an operator gets who sets
//     nothing.
//   - Validate keeps nothing: a configuration that was checked is the one that
//     was read.
func Check(t T, fresh func() any, env map[string]string) {
	t.Helper()
	checkNames(t, fresh())
	checkHidden(t, fresh())
	checkDefaults(t, fresh)
	checkValidate(t, fresh(), env)
}

func parse(cfg any, args []string, env map[string]string) error {
	_, err := settings.Parse(args, cfg, settings.WithOutput(io.Discard, io.Discard),
		settings.WithEnv(func(name string) (string, bool) { value, ok := env[name]; return value, ok }))
	return err
}

// named is how a secret, or an address that may carry one, is called.
var named = regexp.MustCompile(`(?i)(password|passphrase|secrets?|tokens?|keys?|credentials?|urls?|dsn|endpoint)$`)

func checkNames(t T, cfg any) {
	t.Helper()
	for _, s := range reference(t, cfg) {
		for _, name := range append([]string{s.Flag}, s.Envs...) {
			if named.MatchString(name) {
				require.True(t, s.Hidden, "%s is of a type that prints its value: make it a settings.Secret, Secrets or URL", name)
			}
		}
	}
}

func reference(t T, cfg any) []settings.Setting {
	t.Helper()
	all, err := settings.Reference(cfg)
	require.NoError(t, err)
	return all
}

func checkHidden(t T, cfg any) {
	t.Helper()
	const secret = "hunter2"
	var args []string
	for _, s := range reference(t, cfg) {
		if s.Hidden {
			args = append(args, "--"+s.Flag+"=https://"+secret+":"+secret+"@host/"+secret+"?"+secret+"="+secret+"#"+secret)
		}
		require.False(t, s.FileEnv != "" && !s.Hidden, "--%s can be a file and would print", s.Flag)
	}
	err := parse(cfg, args, nil) // no valid configuration, but the values are in place
	if err != nil {
		require.NotContains(t, err.Error(), secret, "a problem must not repeat a secret")
	}
	require.Equal(t, len(args), strings.Count(strings.Join(texts(cfg), " "), "@host"), "each should have got its value")
	for way, text := range printed(t, cfg) {
		require.NotContains(t, text, secret, way)
		require.NotContains(t, text, fmt.Sprintf("%x", secret), way)
	}
}

// fields visits every exported field of a configuration, and those of the
// structs in it, whichever way they are held.
func fields(v reflect.Value, path string, visit func(path string, field reflect.Value)) {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			fields(v.Elem(), path, visit)
		}
	case reflect.Slice:
		for i := range v.Len() {
			fields(v.Index(i), fmt.Sprintf("%s[%d]", path, i), visit)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if field := v.Type().Field(i); field.IsExported() {
				visit(path+"."+field.Name, v.Field(i))
				fields(v.Field(i), path+"."+field.Name, visit)
			}
		}
	}
}

// texts gives every text in a configuration, as it is.
func texts(cfg any) []string {
	var all []string
	fields(reflect.ValueOf(cfg), "", func(_ string, field reflect.Value) {
		switch {
		case field.Kind() == reflect.String:
			all = append(all, field.String())
		case field.Kind() == reflect.Slice && field.Type().Elem().Kind() == reflect.String:
			for i := range field.Len() {
				all = append(all, field.Index(i).String())
			}
		}
	})
	return all
}

// parts gives the fields of a configuration by themselves, because a pointer
// within a larger value prints as an address.
func parts(cfg any) []any {
	var all []any
	fields(reflect.ValueOf(cfg), "", func(_ string, field reflect.Value) { all = append(all, field.Interface()) })
	return all
}

// values gives the fields that hold no others, by their path.
func values(cfg any) map[string]any {
	all := map[string]any{}
	fields(reflect.ValueOf(cfg), "", func(path string, field reflect.Value) {
		switch field.Kind() {
		case reflect.Struct, reflect.Pointer, reflect.Interface:
		default:
			if field.Type() != reflect.TypeFor[kong.Plugins]() {
				all[path] = field.Interface()
			}
		}
	})
	return all
}

// printed gives a value in every way in which it could get into a log.
func printed(t T, value any) map[string]string {
	t.Helper()
	ways := map[string]string{}
	for _, each := range append(parts(value), value) {
		verbs := []string{"%v", "%+v", "%#v"}
		if _, ok := each.(fmt.Formatter); ok {
			// Not for a whole configuration: there a verb that does not fit makes fmt
			// print what a pointer leads to without asking it, which vet reports.
			verbs = append(verbs, "%s", "%q", "%x", "%X", "%d")
		}
		for _, verb := range verbs {
			ways[verb] += fmt.Sprintf(verb, each)
		}
		text, err := json.Marshal(each)
		require.NoError(t, err)
		ways["JSON"] += string(text)
		text, err = yaml.Marshal(each)
		require.NoError(t, err)
		ways["YAML"] += string(text)
		var out bytes.Buffer
		for _, encoder := range []zapcore.Encoder{zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.NewConsoleEncoder(zap.NewDevelopmentEncoderConfig())} {
			zap.New(zapcore.NewCore(encoder, zapcore.AddSync(&out), zap.DebugLevel)).Info("x", zap.Any("value", each), zap.Reflect("value", each))
		}
		ways["zap"] += out.String()
		out.Reset()
		slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "value", each)
		slog.New(slog.NewTextHandler(&out, nil)).Info("x", "value", each)
		ways["slog"] += out.String()
		ways["error"] += fmt.Errorf("reading %v", each).Error()
	}
	return ways
}

func checkDefaults(t T, fresh func() any) {
	t.Helper()
	filled, parsed := fresh(), fresh()
	settings.Defaults(filled)
	_ = parse(parsed, nil, nil) // what is required is missing; the defaults are in place
	require.Equal(t, values(parsed), values(filled), "Defaults and Parse should agree")
}

// checkValidate compares what no setting reaches before and after: there is
// where a Validate could keep something for later.
func checkValidate(t T, cfg any, env map[string]string) {
	t.Helper()
	before := unexported(reflect.ValueOf(cfg).Elem())
	require.NoError(t, parse(cfg, nil, env), "the environment should be a valid one")
	require.Equal(t, before, unexported(reflect.ValueOf(cfg).Elem()), "Validate should keep nothing")
}

// unexported says of each unexported field whether it is set.
func unexported(v reflect.Value) map[string]bool {
	set := map[string]bool{}
	for i := range v.NumField() {
		field := v.Type().Field(i)
		switch {
		case !field.IsExported():
			set[field.Name] = !v.Field(i).IsZero()
		case field.Type.Kind() == reflect.Struct:
			for name, isSet := range unexported(v.Field(i)) {
				set[field.Name+"."+name] = isSet
			}
		}
	}
	return set
}
