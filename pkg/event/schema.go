package event

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/hamba/avro/v2"

	"github.com/throughline-dev/throughline/schemas"
)

// The Confluent wire format: a zero byte, the schema's id, the Avro body.
const (
	magic      = 0
	headerSize = 5
)

// maxSlice bounds any one string or bytes that a decoder accepts: the largest
// record of our topics, so that garbage cannot make it allocate more.
const maxSlice = 8 << 20

// maxElements bounds a decoded array (headers, references), which otherwise
// takes its length from the bytes and asks for that much memory at once.
const maxElements = 10_000

func newAPI() avro.API {
	return avro.Config{MaxByteSliceSize: maxSlice, MaxSliceAllocSize: maxElements}.Freeze()
}

// parse reads a schema with a cache of its own: the library's default one is
// global, and two versions of a record would meet in it.
func parse(text string) (avro.Schema, error) {
	schema, err := avro.ParseWithCache(text, "", &avro.SchemaCache{})
	if err != nil {
		return nil, fmt.Errorf("parsing an Avro schema: %w", err)
	}
	return schema, nil
}

// resolve gives the schema that reads what writer wrote as reader has it:
// reader itself where they are the same.
func resolve(reader, writer avro.Schema) (avro.Schema, error) {
	if reader.Fingerprint() == writer.Fingerprint() {
		return reader, nil
	}
	return avro.NewSchemaCompatibility().Resolve(reader, writer)
}

// record is one of the two record types, with every version of it that was
// released.
type record struct {
	reader   avro.Schema   // the current version
	versions []avro.Schema // all of them, resolved to reader; the newest first
	// begins reports whether a body begins as every version of this type does.
	// It tells garbage from a record whose schema is not known.
	begins func(body *avro.Reader) bool
}

// newRecord reads the current schema of a topic and its history.
func newRecord(topic, current string, begins func(*avro.Reader) bool) (*record, error) {
	reader, err := parse(current)
	if err != nil {
		return nil, err
	}
	files, err := fs.Glob(schemas.History, path.Join("history", topic, "*.avsc"))
	if err != nil || len(files) == 0 {
		return nil, errors.Join(err, fmt.Errorf("there is no history of the schema of %s", topic))
	}
	slices.SortFunc(files, func(a, b string) int { return version(b) - version(a) })
	r := &record{reader: reader, begins: begins}
	for _, file := range files {
		text, err := fs.ReadFile(schemas.History, file)
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", file, err)
		}
		writer, err := parse(string(text))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		resolved, err := resolve(reader, writer)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		r.versions = append(r.versions, resolved)
	}
	return r, nil
}

// version is the number in a history file's name; 0 for another name.
func version(file string) int {
	n, err := strconv.Atoi(strings.TrimSuffix(path.Base(file), ".avsc"))
	if err != nil {
		return 0
	}
	return n
}

// The topics' names in schemas/history.
const (
	eventHistory  = "account-events"
	letterHistory = "account-events.dlq"
)

func newEventRecord() (*record, error) {
	return newRecord(eventHistory, schemas.AccountEvent, func(r *avro.Reader) bool {
		_, err := accountID(r.ReadString())
		return r.Error == nil && err == nil
	})
}

func newLetterRecord() (*record, error) {
	return newRecord(letterHistory, schemas.DeadLetter, func(r *avro.Reader) bool {
		r.SkipBytes() // value
		topic := r.ReadString()
		return r.Error == nil && isTopic(topic)
	})
}

// isTopic reports whether Kafka takes name as a topic's.
func isTopic(name string) bool {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"
	return name != "" && len(name) <= 249 && strings.Trim(name, letters) == ""
}
