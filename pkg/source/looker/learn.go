package looker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/source"
)

// mostUsers is how many ids one request asks about.
const mostUsers = 100

var _ source.Learner = looker{}

// Learns implements source.Learner: users of Looker. An account's or a group's id is
// what it is by the customer's own data, of which Looker knows no more.
func (looker) Learns() []source.Learnable {
	return []source.Learnable{{Kind: kindUser, Most: mostUsers}}
}

// Learn implements source.Learner.
func (looker) Learn(ctx context.Context, api source.Doer, kind string, ids []string) ([]source.Learned, error) {
	var asked []string
	for _, id := range ids {
		if n, err := strconv.ParseInt(id, 10, 64); err == nil && n > 0 {
			asked = append(asked, id)
		}
	}
	if kind != kindUser || len(asked) == 0 {
		return nil, nil
	}
	query := url.Values{"ids": {strings.Join(asked, ",")}, "fields": {"id,email,is_disabled,credentials_embed"}, "limit": {strconv.Itoa(mostUsers)}}
	users, err := ask(ctx, api, http.MethodGet, "/users?"+query.Encode(), nil)
	if err != nil {
		return nil, fmt.Errorf("asking for users: %w", err)
	}
	if users.Kind() != rawjson.Array {
		return nil, lie(errors.New("the answer is no array of users"))
	}
	found := map[string]rawjson.Value{}
	for _, user := range users.Elements() {
		id := user.Get("id").Literal()
		if !slices.Contains(asked, id) {
			return nil, lie(errors.New("the answer has a user that was not asked for"))
		}
		found[id] = user
	}
	learned := make([]source.Learned, 0, len(asked))
	for _, id := range asked {
		user, ok := found[id]
		if !ok {
			learned = append(learned, source.Learned{ID: id, Gone: true, Evidence: json.RawMessage(`{"gone":true}`)})
			continue
		}
		learned = append(learned, learn(id, user))
	}
	return learned, nil
}

// learn takes what a user points at: whose the host application says that it is, and
// the person. The ids of embedding are written by the host application, which signs
// them: they are declared.
func learn(id string, user rawjson.Value) source.Learned {
	l := source.Learned{ID: id}
	evidence := map[string]any{"object": kindUser}
	add := func(by source.LeadLevel, kind, ref, field string) {
		refs := source.References{Source: name}
		refs.Add(kind, ref)
		for _, r := range refs.List() {
			l.Leads = append(l.Leads, source.Lead{Reference: r, By: by, Field: field})
			if by != source.LeadPerson {
				evidence[field] = r.ID
			}
		}
	}
	for _, embed := range user.Get("credentials_embed").Elements() {
		group, person := embed.Get("external_group_id").Literal(), embed.Get("external_user_id").Literal()
		if _, ok := source.UUID(group); ok {
			add(source.LeadDeclared, source.KindAccountUUID, group, "credentials_embed.external_group_id")
		}
		add(source.LeadDeclared, kindGroup, group, "credentials_embed.external_group_id")
		add(source.LeadDeclared, kindExternalUser, person, "credentials_embed.external_user_id")
	}
	add(source.LeadPerson, source.KindEmail, user.Get("email").Text(), "email")
	if user.Get("is_disabled").Bool() {
		evidence["is_disabled"] = true
	}
	l.Evidence, _ = json.Marshal(evidence) // texts and booleans
	return l
}
