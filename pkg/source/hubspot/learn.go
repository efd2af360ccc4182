package hubspot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/source"
)

var _ source.Learner = hubspot{}

// Learns implements source.Learner.
func (hubspot) Learns() []source.Learnable {
	kinds := make([]source.Learnable, 0, len(objects))
	for _, o := range objects {
		kinds = append(kinds, source.Learnable{Kind: o.thing, Most: pageObjects})
	}
	return kinds
}

// Learn implements source.Learner, in two requests: a batch of the objects, and one of
// their companies. An object that the batch does not have is gone, unless another of
// the batch says that it became a part of it: HubSpot gives the winner of a merge for
// the id of the other, which is as its documentation has it and was not seen.
func (h hubspot) Learn(ctx context.Context, api source.Doer, kind string, ids []string) ([]source.Learned, error) {
	at := slices.IndexFunc(objects, func(o walked) bool { return o.thing == kind })
	if at < 0 {
		return nil, nil
	}
	of := objects[at]
	asked := slices.DeleteFunc(slices.Clone(ids), func(one string) bool { return !isID(one) })
	if len(asked) == 0 {
		return nil, nil
	}
	properties := []string{"email", "domain", "hs_merged_object_ids", "hs_calculated_merged_vids"}
	if kind == thingCompany {
		properties = append(properties, "name")
		for _, ref := range h.crossReferences() {
			properties = append(properties, ref.Property)
		}
	}
	a, err := send(ctx, api, "POST", "/crm/objects/"+h.version()+"/"+of.stream+"/batch/read", map[string]any{"inputs": inputs(asked), "properties": properties})
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", of.stream, err)
	}
	found, err := h.batch(a.top, asked)
	if err != nil {
		return nil, err
	}
	var associated map[string][]company
	if here := slices.DeleteFunc(slices.Clone(asked), func(one string) bool { return !found[one].object.Exists() }); of.primary != "" && len(here) > 0 {
		if associated, err = h.companies(ctx, api, of, here); err != nil {
			return nil, err
		}
	}
	learned := make([]source.Learned, 0, len(asked))
	for _, one := range asked {
		learned = append(learned, h.learned(one, kind, found[one], associated[one]))
	}
	return learned, nil
}

// batched is what a batch says of an id that was asked about.
type batched struct {
	object     rawjson.Value
	mergedInto string
}

// batch takes the answer of a batch apart, by the ids that were asked about.
func (h hubspot) batch(top rawjson.Value, asked []string) (map[string]batched, error) {
	results := top.Get("results")
	if results.Kind() != rawjson.Array {
		return nil, lie(errors.New("the answer has no array of results"))
	}
	found := map[string]batched{}
	for _, object := range results.Elements() {
		one := id(object.Get("id"))
		if slices.Contains(asked, one) {
			found[one] = batched{object: object}
			continue
		}
		known := false
		for _, old := range mergedIDs(object) {
			if slices.Contains(asked, old) && isID(one) {
				found[old], known = batched{mergedInto: one}, true
			}
		}
		if !known {
			return nil, lie(errors.New("a batch has an object that was not asked for"))
		}
	}
	return found, nil
}

// mergedIDs are those that became a part of an object: "901;902", and of a contact with
// the time of each, "901:1760000000123;902:…".
func mergedIDs(object rawjson.Value) (ids []string) {
	for _, property := range []string{"hs_merged_object_ids", "hs_calculated_merged_vids"} {
		for part := range strings.SplitSeq(object.At("properties", property).Text(), ";") {
			if one, _, _ := strings.Cut(part, ":"); isID(one) {
				ids = append(ids, one)
			}
		}
	}
	return ids
}

// learned says what is known of one.
func (h hubspot) learned(one, kind string, r batched, of []company) source.Learned {
	l := source.Learned{ID: one, MergedInto: r.mergedInto, Gone: !r.object.Exists() && r.mergedInto == ""}
	evidence := map[string]any{"object": kind}
	switch {
	case l.Gone:
		evidence["gone"] = true
	case l.MergedInto != "":
		evidence["merged_into"] = l.MergedInto
	}
	properties := r.object.Get("properties")
	if kind == thingCompany {
		l.Name = properties.Get("name").Text()
		for _, ref := range h.crossReferences() {
			add(&l, ref.Source, ref.Kind, properties.Get(ref.Property).Text(), source.LeadDeclared, "properties."+ref.Property)
		}
	}
	var companies []string
	for _, c := range of {
		companies = append(companies, c.id)
	}
	if len(of) > 1 && of[0].primary {
		of = of[:1] // the primary is whose it is; the others may be partners and parents
	}
	for _, c := range of {
		add(&l, name, thingCompany, c.id, source.LeadVendor, "associations.company")
	}
	if len(companies) > 0 {
		evidence["companies"] = companies
	}
	if kind == thingCompany {
		add(&l, name, source.KindDomain, properties.Get("domain").Text(), source.LeadVendor, "properties.domain")
	}
	if kind == thingContact {
		add(&l, name, source.KindEmail, properties.Get("email").Text(), source.LeadPerson, "properties.email")
	}
	var fields []string
	for _, lead := range l.Leads {
		fields = append(fields, lead.Field)
	}
	if len(fields) > 0 {
		evidence["fields"] = slices.Compact(fields)
	}
	l.Evidence, _ = json.Marshal(evidence) // of texts alone
	return l
}

// add adds a lead, unless id is none of the kind.
func add(l *source.Learned, of, kind, id string, by source.LeadLevel, field string) {
	refs := source.References{Source: of}
	refs.Add(kind, id)
	for _, ref := range refs.List() {
		l.Leads = append(l.Leads, source.Lead{Reference: ref, By: by, Field: field})
	}
}

func (h hubspot) crossReferences() []CrossReference {
	if len(h.o.CrossReferences) > 0 {
		return h.o.CrossReferences
	}
	return defaultCrossReferences
}
