// Package e2e holds the tests of the whole system: every service, real
// Postgres, and either the broker in this process or Apache Kafka. See
// README.md for what each proves and how to run one.
package e2e
