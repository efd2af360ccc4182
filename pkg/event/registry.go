package event

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/sr"
	"go.uber.org/zap"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/pkg/tlsfiles"
	"github.com/throughline-dev/throughline/schemas"
)

// RegistryConfig says where the schema registry is. The zero value is invalid.
type RegistryConfig struct {
	URL      settings.URL    `name:"schema-registry-url" env:"THROUGHLINE_SCHEMA_REGISTRY_URL" help:"Schema registry (Confluent API) that holds the Avro schemas." placeholder:"URL"`
	User     string          `name:"schema-registry-user" env:"THROUGHLINE_SCHEMA_REGISTRY_USER" help:"User for basic authentication at the registry."`
	Password settings.Secret `name:"schema-registry-password" env:"THROUGHLINE_SCHEMA_REGISTRY_PASSWORD" help:"Password for basic authentication at the registry."`
	CAFile   string          `name:"schema-registry-ca-file" env:"THROUGHLINE_SCHEMA_REGISTRY_CA_FILE" help:"PEM file of the authorities that sign the registry's certificate; the system's otherwise. Read again when it changes." placeholder:"FILE"`
	CertFile string          `name:"schema-registry-cert-file" env:"THROUGHLINE_SCHEMA_REGISTRY_CERT_FILE" help:"PEM file of the certificate with which we log in at the registry (mTLS); read again when it changes. Together with schema-registry-key-file." placeholder:"FILE"`
	KeyFile  string          `name:"schema-registry-key-file" env:"THROUGHLINE_SCHEMA_REGISTRY_KEY_FILE" help:"PEM file of that certificate's key." placeholder:"FILE"`
	Timeout  time.Duration   `name:"schema-registry-timeout" env:"THROUGHLINE_SCHEMA_REGISTRY_TIMEOUT" default:"5s" help:"Longest wait for one answer of the registry."`
	Refresh  time.Duration   `name:"schema-registry-refresh" env:"THROUGHLINE_SCHEMA_REGISTRY_REFRESH" default:"1m" help:"How often a service makes sure that the registry still has the schemas that it writes with (${default})."`
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
	if (c.CertFile == "") != (c.KeyFile == "") {
		add("CERT_FILE (--schema-registry-cert-file) and THROUGHLINE_SCHEMA_REGISTRY_KEY_FILE (--schema-registry-key-file) must both be set, or neither")
	} else if c.CertFile != "" {
		if _, err := tlsfiles.NewCertificate(c.CertFile, c.KeyFile, nil); err != nil {
			add("CERT_FILE (--schema-registry-cert-file): " + err.Error())
		}
	}
	if c.CAFile != "" {
		if _, err := tlsfiles.Roots(c.CAFile); err != nil {
			add("CA_FILE (--schema-registry-ca-file): " + err.Error())
		}
	}
	if c.Timeout < 0 {
		add(fmt.Sprintf("TIMEOUT (--schema-registry-timeout) is %v: it should be above 0", c.Timeout))
	}
	if c.Refresh < 0 {
		add(fmt.Sprintf("REFRESH (--schema-registry-refresh) is %v: it should be above 0", c.Refresh))
	}
	return errors.Join(problems...)
}

// Registry is a client of the schema registry.
type Registry struct {
	client  *sr.Client
	host    string
	refresh time.Duration
	dialer  *tlsfiles.Dialer // nil: there are no files
}

// Observe logs renewals of the files for TLS, and why one failed, and shows in the
// metrics whether they can be used and until when. It is called before the first use.
func (r *Registry) Observe(log *zap.Logger, metrics prometheus.Registerer) error {
	if r.dialer == nil {
		return nil
	}
	r.dialer.Log(log)
	return r.dialer.Register(metrics, "registry")
}

// Refresh is how often an Encoder's schemas should be looked for again.
func (r *Registry) Refresh() time.Duration { return r.refresh }

// NewRegistry makes a client; it does not connect. What is not set in c is taken
// as its default.
func NewRegistry(c RegistryConfig) (*Registry, error) {
	settings.Defaults(&c)
	transport, dialer, err := transport(c)
	if err != nil {
		return nil, fmt.Errorf("making the schema registry client: %w", err)
	}
	opts := []sr.ClientOpt{sr.URLs(string(c.URL)), sr.HTTPClient(&http.Client{Timeout: c.Timeout, Transport: transport}), sr.UserAgent("throughline")}
	if c.User != "" {
		opts = append(opts, sr.BasicAuth(c.User, string(c.Password)))
	}
	client, err := sr.NewClient(opts...)
	if err != nil {
		return nil, fmt.Errorf("making the schema registry client: %w", err)
	}
	host := ""
	if u, err := url.Parse(string(c.URL)); err == nil {
		host = u.Host
	}
	return &Registry{client: client, host: host, refresh: c.Refresh, dialer: dialer}, nil
}

// transport gives the default one and no dialer where no file says otherwise.
func transport(c RegistryConfig) (http.RoundTripper, *tlsfiles.Dialer, error) {
	if c.CAFile == "" && c.CertFile == "" {
		return http.DefaultTransport, nil, nil
	}
	dialer, err := tlsfiles.NewDialer(tlsfiles.Files{CA: c.CAFile, Cert: c.CertFile, Key: c.KeyFile}, c.Timeout, nil)
	if err != nil {
		return nil, nil, err
	}
	return &http.Transport{Proxy: http.ProxyFromEnvironment, DialTLSContext: dialer.DialContext, IdleConnTimeout: 90 * time.Second, MaxIdleConns: 10}, dialer, nil
}

// register finds the id of the schema under the topic's subject, and registers
// it where it is not there. So a registry that may only be read is enough once
// somebody has registered the schemas.
func (r *Registry) register(ctx context.Context, topic, schema string) (int, error) {
	subject := subjectOf(topic)
	want := sr.Schema{Schema: schema, Type: sr.TypeAvro}
	found, err := r.client.LookupSchema(ctx, subject, want)
	if status(err) != http.StatusNotFound {
		return found.ID, r.classify("looking for the schema of "+subject, err)
	}
	id, err := r.client.RegisterSchema(ctx, subject, want, -1, -1)
	if status(err) == http.StatusForbidden || status(err) == http.StatusUnauthorized {
		return 0, fault.Advise(r.classify("registering the schema of "+subject, err),
			"the schema is not registered and this user may not register it: let one who may do so start a service once, or give this user the right to write to subject "+subject)
	}
	return id, r.classify("registering the schema of "+subject, err)
}

// Topics are the names of the topics that have a schema.
type Topics struct{ Events, Letters, Changes string }

// Missing gives the subjects under which the registry does not have the current schemas of the topics. It registers
// nothing. An error is the registry's, as NewEncoder has it.
func (r *Registry) Missing(ctx context.Context, t Topics) (subjects []string, err error) {
	for _, s := range []struct{ topic, schema string }{{t.Events, schemas.AccountEvent}, {t.Letters, schemas.DeadLetter}, {t.Changes, schemas.AccountChange}} {
		subject := subjectOf(s.topic)
		_, err := r.client.LookupSchema(ctx, subject, sr.Schema{Schema: s.schema, Type: sr.TypeAvro})
		var answer *sr.ResponseError
		switch {
		case errors.As(err, &answer) && answer.StatusCode == http.StatusNotFound && answer.ErrorCode != 0:
			subjects = append(subjects, subject)
		case err != nil:
			return nil, r.classify("looking for the schema of "+subject, err)
		}
	}
	return subjects, nil
}

// subjectOf is Confluent's TopicNameStrategy.
func subjectOf(topic string) string { return topic + "-value" }

// errUnknownSchema says that the registry has no schema of an id.
var errUnknownSchema = errors.New("the schema registry does not know the schema")

// schema gives the text of the schema with this id, or errUnknownSchema. Any other
// error is Transient.
func (r *Registry) schema(ctx context.Context, id int) (string, error) {
	s, err := r.client.SchemaByID(ctx, id)
	if status(err) == http.StatusNotFound {
		return "", errUnknownSchema
	}
	if err := r.classify(fmt.Sprintf("fetching schema %d", id), err); err != nil {
		return "", fault.Advise(fault.Transient(fault.Unavailable, err), fault.Advice(err))
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

// classify names the registry and what it answered. Its own refusal of a schema (it
// would break readers) is final; all else may pass, or a person may fix it.
func (r *Registry) classify(doing string, err error) error {
	var answer *sr.ResponseError
	var dial *url.Error
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &answer):
		failed := fault.Transient(fault.Unavailable, fmt.Errorf("%s: schema registry %s: %w", doing, r.host, err))
		if errors.As(err, &dial) {
			return failed
		}
		return fault.Advise(failed, "what answers there is no schema registry: check THROUGHLINE_SCHEMA_REGISTRY_URL")
	case answer.ErrorCode == 0: // not in the form of a registry's answers: a proxy's page, of any size
		err = fmt.Errorf("%s: schema registry %s answered %d", doing, r.host, answer.StatusCode)
	default:
		err = fmt.Errorf("%s: schema registry %s answered %d: %w", doing, r.host, answer.StatusCode, err)
	}
	switch answer.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden:
		return fault.Advise(fault.Transient(fault.Unauthenticated, err), "check THROUGHLINE_SCHEMA_REGISTRY_USER and THROUGHLINE_SCHEMA_REGISTRY_PASSWORD, and what that user may do")
	case http.StatusConflict, http.StatusUnprocessableEntity, http.StatusBadRequest:
		if answer.ErrorCode != 0 {
			return fault.Permanent(fault.Malformed, err)
		}
	case http.StatusNotFound:
		return fault.Advise(fault.Transient(fault.Unavailable, err), "what answers there is no schema registry: check THROUGHLINE_SCHEMA_REGISTRY_URL")
	}
	return fault.Transient(fault.Unavailable, err)
}
