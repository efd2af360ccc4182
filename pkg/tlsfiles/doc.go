// Package tlsfiles keeps certificates, keys and authorities that lie in PEM files
// and are renewed while a process runs: by cert-manager, by kubelet, which swaps a
// symbolic link, or by a person. A file is looked at whenever a connection begins,
// so that nothing is restarted and no connection ends for a renewal. What was read
// last stays in use while a new file cannot be.
package tlsfiles
