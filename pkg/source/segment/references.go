package segment

import (
	"strings"

	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/source"
)

// references: the group where it is believed, as it is the account; then who did
// it. A trait of a track's properties is what a form held, so it is not read.
func (s segment) references(e rawjson.Value, call, tenant string) []source.Reference {
	refs := source.References{Source: name, Tenant: tenant}
	add := func(kind string, v rawjson.Value) {
		if id := v.Literal(); !blocked(id) {
			refs.Add(kind, id)
		}
	}
	user, traits, context := e.Get("userId"), e.Get("traits"), e.Get("context")
	if s.options.TrustGroups {
		for _, group := range [...]rawjson.Value{e.Get("groupId"), context.Get("groupId")} {
			add(source.KindAccountUUID, group)
			add(kindGroup, group)
		}
	}
	add(kindUser, user)
	if call == "alias" {
		add(kindUser, e.Get("previousId"))
	}
	if call != "group" { // whose traits are the company's
		add(source.KindEmail, traits.Get("email"))
	}
	add(source.KindEmail, context.At("traits", "email"))
	add(source.KindEmail, user) // many take the address for an id
	if call == "group" && s.options.TrustGroups {
		add(source.KindDomain, traits.Get("website"))
	}
	add(kindAnonymous, e.Get("anonymousId"))
	return refs.List()
}

// blocked: what libraries and broken code write where there is no id. Strangers who
// have it in common have nothing in common.
func blocked(id string) bool {
	switch strings.ToLower(strings.TrimSpace(id)) {
	case "", "null", "undefined", "none", "nil", "nan", "anonymous", "unknown", "guest", "test", "true", "false", "[object object]", "-1":
		return true
	}
	return strings.Trim(id, "0-") == ""
}
