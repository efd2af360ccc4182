package resolve

import (
	_ "embed"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/net/publicsuffix"

	"github.com/throughline-dev/throughline/pkg/source"
)

// domainsText is sorted, a domain a line, behind lines of comments; it is searched as
// it is. It is made by tools/domains, from lists that it names.
//
//go:embed domains.txt
var domainsText string

// domains says which domains are nobody's company. The zero value is the built-in list.
type domains struct{ public, company map[string]struct{} }

// has reports whether anybody can have a mailbox at this domain, in the form of
// source.Domain: by the built-in list, or the operator's, which is right where they
// differ.
func (d domains) has(domain string) bool {
	if _, ok := d.company[domain]; ok {
		return false
	}
	if _, ok := d.public[domain]; ok {
		return true
	}
	listed, _ := builtin(domain)
	return listed
}

// disposable reports whether anybody can read the mail of this domain.
func (d domains) disposable(domain string) bool {
	_, ours := d.company[domain]
	_, disposable := builtin(domain)
	return disposable && !ours
}

// builtin searches domainsText.
func builtin(domain string) (listed, disposable bool) {
	low, high := 0, len(domainsText) // both are beginnings of lines
	for low < high {
		begin := low + strings.LastIndexByte(domainsText[low:low+(high-low)/2], '\n') + 1
		end := begin + strings.IndexByte(domainsText[begin:], '\n')
		line, mark, _ := strings.Cut(domainsText[begin:end], " ")
		switch {
		case line == "" || line[0] == '#' || line < domain:
			low = end + 1
		case line == domain:
			return true, mark == "d"
		default:
			high = begin
		}
	}
	return false, false
}

// readDomains reads a file with one domain a line ('#' begins a comment).
func readDomains(variable, path string) (map[string]struct{}, error) {
	if path == "" {
		return nil, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", variable, err)
	}
	list, bad := map[string]struct{}{}, []string(nil)
	for line := range strings.Lines(string(text)) {
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		domain, ok := source.Domain(line)
		if !ok {
			bad = append(bad, line)
			continue
		}
		list[domain] = struct{}{}
	}
	if len(bad) > 0 {
		return nil, fmt.Errorf("%s: not a domain: %s", variable, strings.Join(bad[:min(len(bad), 5)], ", "))
	}
	return list, nil
}

// domains gives the built-in list with the files'. A domain in both files is the
// company's.
func (c Config) domains() (domains, error) {
	public, err := readDomains("THROUGHLINE_PUBLIC_DOMAINS", c.PublicDomains)
	company, other := readDomains("THROUGHLINE_COMPANY_DOMAINS", c.CompanyDomains)
	return domains{public: public, company: company}, errors.Join(err, other)
}

// Freemail reports whether this domain (in the form of source.Domain) is nobody's company: no rule leads from one of
// its addresses to an account by the domain.
func (r *Resolver) Freemail(domain string) bool { return r.freemail.has(domain) }

// Company reports whether the operator says that this domain is a company's (THROUGHLINE_COMPANY_DOMAINS).
func (r *Resolver) Company(domain string) bool {
	_, ok := r.freemail.company[domain]
	return ok
}

// Disposable reports whether anybody can read the mail of this domain, so that an address of it is no person's.
func (r *Resolver) Disposable(domain string) bool { return r.freemail.disposable(domain) }

// Site gives the registrable domain of a host: one label more than its public suffix, if that is a registry's
// (co.uk). "" where the suffix is a company's, below which anybody has hosts (github.io), where it is not known, and
// for a suffix itself.
func Site(host string) string {
	suffix, icann := publicsuffix.PublicSuffix(host)
	if !icann || suffix == host {
		return ""
	}
	site, err := publicsuffix.EffectiveTLDPlusOne(host)
	if err != nil {
		return ""
	}
	return site
}

// IsShared reports whether a host is a public suffix, or below one that is a company's: acme.github.io says nothing of
// Acme that its owner does not say himself, and such names change hands.
func IsShared(host string) bool {
	suffix, icann := publicsuffix.PublicSuffix(host)
	return suffix == host || !icann && strings.Contains(suffix, ".")
}

// IsRole reports whether an address is an office's, whoever sits there.
// Source: RFC 2142, and names of offices in use.
func IsRole(address string) bool {
	local, _, ok := strings.Cut(strings.ToLower(address), "@")
	if !ok {
		return false
	}
	local, _, _ = strings.Cut(local, "+")
	switch strings.NewReplacer("-", "", "_", "", ".", "").Replace(local) {
	case "info", "marketing", "sales", "support", "abuse", "noc", "security", "postmaster", "hostmaster", "usenet", "news", "webmaster", "www", "uucp", "ftp", // RFC 2142
		"billing", "accounts", "account", "accounting", "accountspayable", "accountsreceivable", "ap", "ar", "invoice", "invoices", "invoicing", "finance", "payments", "payroll",
		"help", "helpdesk", "admin", "administrator", "office", "hello", "hi", "contact", "contactus", "mail", "email", "team", "all", "everyone", "staff", "service",
		"customerservice", "customersupport", "noreply", "donotreply", "notifications", "notification", "mailerdaemon", "root", "it", "itsupport", "hr", "jobs", "careers",
		"legal", "privacy", "compliance", "press", "media", "orders", "order", "purchasing", "procurement", "enquiries", "inquiries", "reception", "dev", "developers",
		"engineering", "ops", "operations", "feedback", "newsletter", "subscriptions", "test", "buchhaltung", "rechnung", "facturation", "compta", "administracion":
		return true
	}
	return false
}

// emailDomain gives an address's domain, or "".
func emailDomain(address string) string {
	if !strings.Contains(address, "@") {
		return ""
	}
	domain, _ := source.Domain(address)
	return domain
}
