package postgres_test

import (
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/postgres/postgrestest"
	"github.com/throughline-dev/throughline/pkg/settings"
)

// A Postgres that lets in who has a certificate, verified on both sides.
func TestClientCertificates(t *testing.T) {
	t.Parallel()
	node := postgrestest.NewNode(t)
	authority, clients, stranger := postgrestest.NewAuthority(t, "servers"), postgrestest.NewAuthority(t, "clients"), postgrestest.NewAuthority(t, "strangers")
	node.Exec("CREATE ROLE sink LOGIN; GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA public TO sink; GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO sink; GRANT EXECUTE ON FUNCTION clean_payload_index() TO sink")
	node.RequireCertificates(authority, clients)
	dir := t.TempDir()
	issue := func(ca *postgrestest.Authority, file, name string, valid time.Duration) {
		ca.Issue(filepath.Join(dir, file+".crt"), filepath.Join(dir, file+".key"), name, valid)
	}
	issue(clients, "sink", "sink", time.Hour)
	issue(clients, "other", "another", time.Hour)
	issue(clients, "expired", "sink", -time.Minute)
	issue(stranger, "stranger", "sink", time.Hour)
	address := func(host, ca, cert string, more ...string) string {
		u, err := url.Parse(node.URL())
		require.NoError(t, err)
		u.User, u.Host = url.UserPassword("sink", "a-password-of-tests"), host+":"+u.Port()
		query := url.Values{"sslmode": {"verify-full"}}
		if ca != "" {
			query.Set("sslrootcert", ca)
		}
		if cert != "" {
			query.Set("sslcert", filepath.Join(dir, cert+".crt"))
			query.Set("sslkey", filepath.Join(dir, cert+".key"))
		}
		for i := 0; i < len(more); i += 2 {
			query.Set(more[i], more[i+1])
		}
		u.RawQuery = query.Encode()
		return u.String()
	}
	connect := func(address string) (*pgxpool.Pool, error) {
		return postgres.Open(t.Context(), postgres.Config{URL: settings.URL(address), MaxConns: 2}, "test")
	}

	pool, err := connect(address("localhost", authority.File, "sink"))
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	require.Equal(t, postgres.Result{Inserted: 10}, upsert(t, postgres.NewWriter(pool), eventRows(0, 10)))
	require.Equal(t, []string{"true CN=sink"}, texts(t, pool, "SELECT ssl || ' ' || replace(client_dn, '/', '') FROM pg_stat_ssl WHERE pid = pg_backend_pid()"))

	refusals := map[string]struct{ address, says, advice string }{
		"AnotherUsersCertificate": {
			address("localhost", authority.File, "other"), "28000",
			"the server does not take the client certificate: its common name must be the user of THROUGHLINE_POSTGRES_URL (or be mapped to it in the server's pg_ident.conf)",
		},
		"NoCertificate": {
			address("localhost", authority.File, ""), "28000",
			"the server asks for a client certificate of an authority that it trusts (its ssl_ca_file): name one by sslcert and sslkey in THROUGHLINE_POSTGRES_URL",
		},
		"ACertificateOfAStranger": { // which is not even sent: the server says whom it trusts
			address("localhost", authority.File, "stranger"), "28000",
			"the server asks for a client certificate of an authority that it trusts (its ssl_ca_file): name one by sslcert and sslkey in THROUGHLINE_POSTGRES_URL",
		},
		"AnExpiredCertificate": {
			address("localhost", authority.File, "expired"), "expired certificate",
			"the client certificate (sslcert in THROUGHLINE_POSTGRES_URL) has expired: renew it",
		},
		"AnotherServersName": {
			address("127.0.0.1", authority.File, "sink"), "cannot validate certificate for 127.0.0.1",
			"the server's certificate is for another name: use a host in THROUGHLINE_POSTGRES_URL that it is for",
		},
		"AnUnknownAuthority": {
			address("localhost", stranger.File, "sink"), "certificate signed by unknown authority",
			"the server's certificate is of an authority that is not known here: name its certificate by sslrootcert in THROUGHLINE_POSTGRES_URL",
		},
		"WithoutTLS": {
			address("localhost", "", "", "sslmode", "disable"), "28000",
			"the server lets this user in over TLS only, or not at all: set sslmode=verify-full in THROUGHLINE_POSTGRES_URL, and look at the server's pg_hba.conf",
		},
	}
	for name, tt := range refusals {
		t.Run(name, func(t *testing.T) {
			_, err := connect(tt.address)
			require.ErrorContains(t, err, tt.says)
			require.Equal(t, tt.advice, postgres.Advice(err))
			require.Equal(t, tt.advice, postgres.Advice(postgres.Classify(err)))
			require.NotContains(t, err.Error(), "a-password-of-tests")
		})
	}
	t.Run("AServerWithAnExpiredCertificate", func(t *testing.T) {
		node.Serve(authority, "localhost", -time.Minute)
		advice := func() string {
			pool, err := connect(address("localhost", authority.File, "sink"))
			if err == nil {
				pool.Close()
				return "it connects"
			}
			return postgres.Advice(err)
		}
		becomes := func(want string) { // the server reads its certificate a moment later
			require.Eventually(t, func() bool { return advice() == want }, time.Minute, 20*time.Millisecond, want)
		}
		becomes("the server's certificate has expired, or is not valid yet: renew it, and look at the clocks of both machines")
		node.Serve(authority, "localhost", time.Hour)
		becomes("it connects")
	})
	t.Run("AServerWithoutTLS", func(t *testing.T) {
		_, err := connect(with(t, postgrestest.EmptyURL(t), "sslmode", "verify-full"))
		require.Equal(t, "the server has TLS turned off (ssl in its postgresql.conf), or another program answers at that port; sslmode=disable in THROUGHLINE_POSTGRES_URL goes without TLS, on a network that nobody else reads", postgres.Advice(err))
	})
	t.Run("FilesThatCannotBeUsed", func(t *testing.T) {
		key := filepath.Join(dir, "other.key")
		for address, says := range map[string]string{
			address("localhost", authority.File, "none"):                                               "THROUGHLINE_POSTGRES_URL names files for TLS that cannot be used: unable to read sslkey: open " + filepath.Join(dir, "none.key") + ": no such file or directory",
			address("localhost", filepath.Join(dir, "none.pem"), "sink"):                               "THROUGHLINE_POSTGRES_URL names files for TLS that cannot be used: unable to read CA file: open " + filepath.Join(dir, "none.pem") + ": no such file or directory",
			address("localhost", key, "sink"):                                                          "THROUGHLINE_POSTGRES_URL names files for TLS that cannot be used: unable to add CA to cert pool",
			address("localhost", authority.File, "sink", "sslkey", key):                                "THROUGHLINE_POSTGRES_URL names files for TLS that cannot be used: unable to load cert: tls: private key does not match public key",
			address("localhost", authority.File, "", "sslcert", filepath.Join(dir, "sink.crt")):        `THROUGHLINE_POSTGRES_URL names files for TLS that cannot be used: both "sslcert" and "sslkey" are required`,
			address("localhost", authority.File, "sink", "sslkey", authority.File):                     "THROUGHLINE_POSTGRES_URL names files for TLS that cannot be used: unable to load cert: tls: found a certificate rather than a key in the PEM for the private key",
			address("localhost", authority.File, "sink", "sslmode", "verify-all", "sslcert", "/x.pem"): "THROUGHLINE_POSTGRES_URL is a URL that Postgres does not understand (port, sslmode or another parameter): it should be like postgres://user:password@host:5432/database",
		} {
			require.EqualError(t, postgres.Config{URL: settings.URL(address), MaxConns: 1}.Validate(), says)
		}
	})

	// Whoever renews certificates writes new files; nothing is restarted.
	t.Run("Renewal", func(t *testing.T) {
		first := texts(t, pool, "SELECT client_serial::text FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
		issue(clients, "sink", "sink", time.Hour)
		keeper, stop := runKeeper(t, pool)
		defer stop()
		pool.Reset()
		second := texts(t, pool, "SELECT client_serial::text FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
		require.NotEqual(t, first, second)
		require.Eventually(t, holds(keeper), time.Minute, 20*time.Millisecond)
		require.Empty(t, texts(t, pool, "SELECT client_serial::text FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = 'sink' AND client_serial::text <> $1", second[0]), "the keeper's connection has the new one too")
		require.NoError(t, os.WriteFile(filepath.Join(dir, "sink.crt"), []byte("-----BEGIN CERT"), 0o600)) // half of it
		pool.Reset()
		_, err := pool.Exec(t.Context(), "SELECT 1")
		require.ErrorContains(t, err, "names files for TLS that cannot be used: unable to load cert: ")
		issue(clients, "sink", "sink", time.Hour)
		require.Equal(t, 1, count(t, pool, "SELECT 1"))
	})
}
