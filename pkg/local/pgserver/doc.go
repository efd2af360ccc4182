// Package pgserver runs a Postgres server of our own, for `make run` and for tests: it finds the server's
// programs (or fetches them), creates the data directory, starts the server on 127.0.0.1, and stops it.
//
// It is not for production: everyone who can reach the loopback interface is let in without a password.
//
// Postgres refuses to run as root. As root (a container, usually) the server runs as the user "postgres", or
// "nobody" where there is no such user, and the data directory is given to that user. Elsewhere than on Linux,
// root is refused with a clear error.
//
// On Linux the server ends with the process that started it, also when that process is killed with SIGKILL. A
// data directory survives that, as it survives a crash of the machine (unless [Options.Unsafe] was set).
package pgserver
