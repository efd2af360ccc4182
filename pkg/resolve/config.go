package resolve

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// The names of the rules, in the setting, in Resolution.Rule and in metrics.
const (
	RuleLinks       = "links"        // an explicit link of a reference
	RuleAccountUUID = "account_uuid" // an account id that the vendor's object carries
	RuleEmail       = "email"        // the domain of an e-mail address
	RuleDomain      = "domain"       // a company's domain
)

// RuleNames gives every rule in the order in which they apply.
func RuleNames() []string { return []string{RuleLinks, RuleAccountUUID, RuleEmail, RuleDomain} }

// Config says how events find their account. It is embedded in a service's configuration and read by kong.
type Config struct {
	RuleList       []string `name:"resolve-rules" env:"THROUGHLINE_RESOLVE_RULES" sep:"," default:"links,account_uuid,email,domain" placeholder:"RULE" help:"How an event finds its account: links (always), account_uuid, email, domain."`
	PublicDomains  string   `name:"public-domains" aliases:"freemail-file" env:"THROUGHLINE_PUBLIC_DOMAINS,THROUGHLINE_FREEMAIL_FILE" placeholder:"PATH" help:"File of domains, one per line, at which anybody can have a mailbox, beside the built-in list: no event is resolved by them."`
	CompanyDomains string   `name:"company-domains" env:"THROUGHLINE_COMPANY_DOMAINS" placeholder:"PATH" help:"File of domains, one per line, that are a company's although a list calls them public: a provider that is a customer."`
}

// Rules says which rules are on. Links always is.
type Rules struct {
	Links       bool
	AccountUUID bool
	Email       bool
	Domain      bool
}

// AllRules is the default.
func AllRules() Rules { return Rules{Links: true, AccountUUID: true, Email: true, Domain: true} }

// Rules reads the list; none given is all. An unknown name, or a list without links, is an error.
func (c Config) Rules() (Rules, error) {
	if c.RuleList == nil {
		return AllRules(), nil
	}
	var r Rules
	var problems []error
	for _, name := range c.RuleList {
		switch strings.TrimSpace(name) {
		case RuleLinks:
			r.Links = true
		case RuleAccountUUID:
			r.AccountUUID = true
		case RuleEmail:
			r.Email = true
		case RuleDomain:
			r.Domain = true
		default:
			problems = append(problems, fmt.Errorf("THROUGHLINE_RESOLVE_RULES has %q: the rules are %s", name, strings.Join(RuleNames(), ", ")))
		}
	}
	if !r.Links {
		problems = append(problems, errors.New("THROUGHLINE_RESOLVE_RULES lacks links: explicit links cannot be turned off"))
	}
	return r, errors.Join(problems...)
}

// Validate reports every problem at once, each with the variable that fixes it.
func (c Config) Validate() error {
	_, rules := c.Rules()
	_, list := c.domains()
	return errors.Join(rules, list)
}

// names gives the rules that are on.
func (r Rules) names() []string {
	on := map[string]bool{RuleLinks: r.Links, RuleAccountUUID: r.AccountUUID, RuleEmail: r.Email, RuleDomain: r.Domain}
	return slices.DeleteFunc(RuleNames(), func(name string) bool { return !on[name] })
}

// String gives the rules as the setting has them.
func (r Rules) String() string { return strings.Join(r.names(), ",") }
