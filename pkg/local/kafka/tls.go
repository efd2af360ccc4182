package kafka

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// storeFile is where the brokers have their certificate and its key: Kafka wants
// both in one file.
const storeFile = "broker.pem"

// writeStores writes what the brokers read.
func (t *TLS) writeStores(dir string) error {
	var store []byte
	for _, file := range []string{t.KeyFile, t.CertFile} {
		text, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("reading the brokers' certificate: %w", err)
		}
		store = append(store, text...)
	}
	if err := os.WriteFile(filepath.Join(dir, storeFile), store, 0o600); err != nil {
		return fmt.Errorf("writing the brokers' certificate: %w", err)
	}
	return nil
}

// encryption makes the users' listener one with TLS and SCRAM, and adds the one
// for clients with certificates. It comes after access.
func encryption(n *node, t *TLS) map[string]string {
	set := map[string]string{
		"listeners": fmt.Sprintf("PLAINTEXT://127.0.0.1:%d,USERS://127.0.0.1:%d,CERTIFICATES://127.0.0.1:%d,CONTROLLER://127.0.0.1:%d",
			n.port, n.users, n.certificates, n.controller),
		"advertised.listeners":                                   fmt.Sprintf("PLAINTEXT://127.0.0.1:%d,USERS://127.0.0.1:%d,CERTIFICATES://127.0.0.1:%d", n.port, n.users, n.certificates),
		"listener.security.protocol.map":                         "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,USERS:SASL_SSL,CERTIFICATES:SSL",
		"listener.name.users.sasl.enabled.mechanisms":            "SCRAM-SHA-512",
		"listener.name.users.scram-sha-512.sasl.jaas.config":     "org.apache.kafka.common.security.scram.ScramLoginModule required;",
		"listener.name.certificates.ssl.client.auth":             "required",
		"listener.name.certificates.ssl.principal.mapping.rules": "RULE:^CN=([^,]+).*$/$1/",
	}
	for _, listener := range []string{"users", "certificates"} {
		maps.Copy(set, map[string]string{
			"listener.name." + listener + ".ssl.keystore.type":       "PEM",
			"listener.name." + listener + ".ssl.keystore.location":   filepath.Join(filepath.Dir(n.dir), storeFile),
			"listener.name." + listener + ".ssl.truststore.type":     "PEM",
			"listener.name." + listener + ".ssl.truststore.location": t.CAFile,
		})
	}
	return set
}

// scram gives the users as the format tool takes them.
func (o Options) scram() (users []string) {
	if o.TLS == nil {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(o.Users)) {
		users = append(users, fmt.Sprintf("SCRAM-SHA-512=[name=%s,password=%s]", name, o.Users[name]))
	}
	return users
}
