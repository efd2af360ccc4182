package mapping

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/source"
)

func TestMappingTellsEveryProblem(t *testing.T) {
	t.Parallel()
	_, err := Parse([]byte(`
type: type
time: [1]
id: /a~2
tipe: /x
subject: ""
subject: /y
volatile: /z
references:
  - kind: Customer
    id: /data/id
  - id: /data/id
  - kind: order
    id: 7
    where: here
  - email
types:
  done: Order Done
  more: [a]
`), Mapping{})
	require.Error(t, err)
	require.Equal(t, []string{
		`type: "type" is not a JSON pointer: it does not start with /`,
		`time: it should be a text`,
		`id: "/a~2" is not a JSON pointer: ~ stands only in ~0 (for ~) and ~1 (for /)`,
		`tipe: a mapping has no such setting`,
		`subject: it should be a text`,
		`subject: it is there twice`,
		`volatile: it should be a list`,
		`references[0].kind: "Customer" is not a kind: it is of lower case letters, digits and _, and begins with a letter`,
		`references[1]: it should have a kind and an id`,
		`references[2].id: it should be a text`,
		`references[2].where: a mapping has no such setting`,
		`references[2]: it should have a kind and an id`,
		`references[3]: it should be a list of name: value`,
		`types.done: "Order Done" is not an event type: it should be like order.done`,
		`types.more: it should be a text`,
	}, strings.Split(err.Error(), "\n"))

	for says, text := range map[string]string{
		"should be a list of name: value":  "[]",
		"reading the mapping":              "a: [",
		"the bound is 65536":               strings.Repeat("#", maxMappingBytes+1),
		"references: it has 33 elements":   "references: [" + strings.Repeat("{kind: a, id: /a},", 33) + "]",
		"volatile[1]: it should be a text": "volatile: [&a /b, *a]",
	} {
		_, err := Parse([]byte(text), Mapping{})
		require.ErrorContains(t, err, says)
	}
	for _, empty := range []string{"", "# nothing\n", "{}"} {
		m, err := Parse([]byte(empty), Mapping{Type: "/type"})
		require.NoError(t, err)
		require.Equal(t, "/type", m.Type)
		require.Equal(t, []source.Kind{{Name: "customer"}}, m.Kinds())
	}
}

// What the format decides is not the file's to say.
func TestFixedSettings(t *testing.T) {
	t.Parallel()
	_, err := Parse([]byte("id: /data/id\nlivemode: /live"), Mapping{}, "id")
	require.EqualError(t, err, "id: the format says where it is: leave it out")
}

func FuzzMapping(f *testing.F) {
	f.Add([]byte("type: /kind\ntypes: {a: b.c}\nreferences: [{kind: customer, id: /data/id, prefix: cus_}]\n"))
	f.Add([]byte(`{"references":[{"kind":"a","id":"/b"}]}`))
	event := []byte(`{"type":"a","timestamp":1760000000,"data":{"b":[1]}}`)
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := Parse(text, Mapping{Type: "/type", Time: "/timestamp"})
		if err != nil {
			return
		}
		require.LessOrEqual(t, len(m.References), maxList)
		object, err := new(rawjson.Doc).Parse(event)
		require.NoError(t, err)
		_, _ = m.Describe("fuzz", "1", source.Record{Value: event, Object: object}, rawjson.Pointer)
	})
}
