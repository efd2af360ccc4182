package event

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/twmb/franz-go/pkg/sr"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/settings"
)

// RegistryConfig says where the schema registry is. The zero value is invalid.
type RegistryConfig struct {
	URL      settings.URL    `name:"schema-registry-url" env:"THROUGHLINE_SCHEMA_REGISTRY_URL" help:"Schema registry (Confluent API) that holds the Avro schemas." placeholder:"URL"`
	User     string          `name:"schema-registry-user" env:"THROUGHLINE_SCHEMA_REGISTRY_USER" help:"User for basic authentication at the registry."`
	Password settings.Secret `name:"schema-registry-password" env:"THROUGHLINE_SCHEMA_REGISTRY_PASSWORD" help:"Password for basic authentication at the registry."`
	Timeout  time.Duration   `name:"schema-registry-timeout" env:"THROUGHLINE_SCHEMA_REGISTRY_TIMEOUT" default:"5s" help:"Longest wait for one answer of the registry."`
}

// Validate reports every problem, naming the variable to change.
func (c RegistryConfig) Validate() error {
	var problems []error
	add := func(text string) { problems = append(problems, errors.New("THROUGHLINE_SCHEMA_REGISTRY_"+text)) }
	u, err := url.Parse(string(c.URL))
	switch {
	case c.URL == "":
		add("URL (--schema-registry-url) is not set; example: http://registry:8081")
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		add("URL (--schema-registry-url) is not an http or https URL")
	case u.User != nil:
		add("URL (--schema-registry-url) holds a password; use THROUGHLINE_SCHEMA_REGISTRY_USER and _PASSWORD")
	}
	if c.Password != "" && c.User == "" {
		add("PASSWORD (--schema-registry-password) is set but THROUGHLINE_SCHEMA_REGISTRY_USER (--schema-registry-user) is not")
	}
	if c.Timeout < 0 {
		add(fmt.Sprintf("TIMEOUT (--schema-registry-timeout) is %v: it should be above 0", c.Timeout))
	}
	return errors.Join(problems...)
}

// Registry is a client of the schema registry.
type Registry struct{ client *sr.Client }

// NewRegistry makes a client; it does not connect. What is not set in c is taken
// as its default.
func NewRegistry(c RegistryConfig) (*Registry, error) {
	settings.Defaults(&c)
	opts := []sr.ClientOpt{sr.URLs(string(c.URL)), sr.HTTPClient(&http.Client{Timeout: c.Timeout}), sr.UserAgent("throughline")}
	if c.User != "" {
		opts = append(opts, sr.BasicAuth(c.User, string(c.Password)))
	}
	client, err := sr.NewClient(opts...)
	if err != nil {
		return nil, fmt.Errorf("making the schema registry client: %w", err)
	}
	return &Registry{client: client}, nil
}

// register finds the id of the schema under the topic's subject, and registers
// it where it is not there. So a registry that may only be read is enough once
// somebody has registered the schemas.
func (r *Registry) register(ctx context.Context, topic, schema string) (int, error) {
	subject := topic + "-value" // the Confluent TopicNameStrategy
	want := sr.Schema{Schema: schema, Type: sr.TypeAvro}
	found, err := r.client.LookupSchema(ctx, subject, want)
	id := found.ID
	if status(err) == http.StatusNotFound {
		id, err = r.client.RegisterSchema(ctx, subject, want, -1, -1)
	}
	if err != nil {
		return 0, classify(fmt.Errorf("registering the schema of %s: %w", subject, err))
	}
	return id, nil
}

// errUnknownSchema says that the registry has no schema of an id.
var errUnknownSchema = errors.New("the schema registry does not know the schema")

// schema gives the text of the schema with this id, or errUnknownSchema.
func (r *Registry) schema(ctx context.Context, id int) (string, error) {
	s, err := r.client.SchemaByID(ctx, id)
	switch {
	case status(err) == http.StatusNotFound:
		return "", errUnknownSchema
	case err != nil:
		return "", fault.Transient(fault.Unavailable, fmt.Errorf("fetching schema %d: %w", id, err))
	}
	return s.Schema, nil
}

// status gives the HTTP status that the registry answered with; 0: none.
func status(err error) int {
	var answer *sr.ResponseError
	if errors.As(err, &answer) {
		return answer.StatusCode
	}
	return 0
}

// classify: the registry's own refusal of a schema (it would break readers) is
// final; all else may pass, or a person may fix it.
func classify(err error) error {
	switch status(err) {
	case http.StatusConflict, http.StatusUnprocessableEntity, http.StatusBadRequest:
		return fault.Permanent(fault.Malformed, err)
	}
	return fault.Transient(fault.Unavailable, err)
}
