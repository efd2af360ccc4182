package tlsfiles

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// Register shows the certificate's end and whether its files can be read again, with
// the label use: "receiver". Of the clients of one process that use the same files
// one is shown: a second registration of a use does nothing.
func (c *Certificate) Register(registry prometheus.Registerer, use string) error {
	return errors.Join(registerExpiry(registry, use, c), registerBroken(registry, use, func() error {
		_, broken := c.Status()
		return broken
	}))
}

// Register is Certificate.Register for the files of a client, of which it need have
// no certificate. A dialer without files shows nothing.
func (d *Dialer) Register(registry prometheus.Registerer, use string) error {
	if d.own == nil && d.roots == nil {
		return nil
	}
	var problems [2]error
	if d.own != nil {
		problems[0] = registerExpiry(registry, use, d.own)
	}
	problems[1] = registerBroken(registry, use, d.broken)
	return errors.Join(problems[:]...)
}

func (d *Dialer) broken() error {
	var problems [2]error
	if d.own != nil {
		_, problems[0] = d.own.Status()
	}
	if d.roots != nil {
		_, problems[1] = d.roots.look()
	}
	return errors.Join(problems[:]...)
}

func registerExpiry(registry prometheus.Registerer, use string, c *Certificate) error {
	return register(registry, use, "certificate_expiry_timestamp_seconds", "Time at which the TLS certificate in use ends, by what it is for.", func() float64 {
		end, _ := c.Status()
		return float64(end.Unix())
	})
}

func registerBroken(registry prometheus.Registerer, use string, broken func() error) error {
	return register(registry, use, "files_broken", "1 while TLS files cannot be read again, so that what they held before stays in use; by what they are for.", func() float64 {
		if broken() != nil {
			return 1
		}
		return 0
	})
}

func register(registry prometheus.Registerer, use, name, help string, value func() float64) error {
	err := registry.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "throughline_tls_" + name, Help: help, ConstLabels: prometheus.Labels{"use": use},
	}, value))
	if errors.As(err, &prometheus.AlreadyRegisteredError{}) {
		return nil
	}
	return err
}
