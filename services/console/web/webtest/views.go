package webtest

import (
	"context"
	"fmt"
	"slices"

	"github.com/throughline-dev/throughline/pkg/access"
	"github.com/throughline-dev/throughline/pkg/api"
	"github.com/throughline-dev/throughline/services/console/backend"
)

// MayExport says whether the actor may, by Options.Export.
func (f *Fake) MayExport(ctx context.Context) bool {
	return f.export.Require(access.ActorOf(ctx)) == nil
}

// Export gives what the lists have as a file.
func (f *Fake) Export(ctx context.Context, q backend.ExportQuery) (*backend.Export, error) {
	if err := f.export.Require(access.ActorOf(ctx)); err != nil {
		return nil, err
	}
	return backend.NewExport(ctx, f, q, func(rows int, _ bool, _ error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.did(ctx, "export", fmt.Sprintf("%d rows", rows), "", false)
	})
}

// SavedViews lists views.
func (f *Fake) SavedViews(ctx context.Context) ([]api.SavedView, error) {
	if err := f.may(ctx, access.Viewer); err != nil {
		return nil, err
	}
	defer f.mu.Unlock()
	who := access.ActorOf(ctx).Who
	list := filter(f.views, func(v api.SavedView) bool { return v.Shared || v.Owner == who })
	for i := range list {
		list[i].Own = list[i].Owner == who
	}
	return list, nil
}

// SaveView keeps a view.
func (f *Fake) SaveView(ctx context.Context, name, path string, shared bool) (api.SavedView, error) {
	path, err := backend.ViewPath(path)
	if err != nil {
		return api.SavedView{}, err
	}
	needed := access.Viewer
	if shared {
		needed = access.Operator
	}
	if err := f.decide(ctx, "saveView", "", needed); err != nil {
		return api.SavedView{}, err
	}
	defer f.mu.Unlock()
	f.lastID++
	v := api.SavedView{ID: f.lastID, Name: name, Path: path, Shared: shared, Own: true, Owner: access.ActorOf(ctx).Who, CreatedAt: f.now(), UpdatedAt: f.now()}
	f.views = append(f.views, v)
	f.did(ctx, "saveView", "", "", false)
	return v, nil
}

// ChangeView changes one.
func (f *Fake) ChangeView(ctx context.Context, id int64, name *string, shared *bool) (api.SavedView, error) {
	if err := f.decide(ctx, "changeView", "", access.Viewer); err != nil {
		return api.SavedView{}, err
	}
	defer f.mu.Unlock()
	for i := range f.views {
		if v := &f.views[i]; v.ID == id {
			if name != nil {
				v.Name = *name
			}
			if shared != nil {
				v.Shared = *shared
			}
			f.did(ctx, "changeView", "", "", false)
			return *v, nil
		}
	}
	return api.SavedView{}, notFound("such view")
}

// DeleteView deletes one.
func (f *Fake) DeleteView(ctx context.Context, id int64) error {
	if err := f.decide(ctx, "deleteView", "", access.Viewer); err != nil {
		return err
	}
	defer f.mu.Unlock()
	before := len(f.views)
	f.views = slices.DeleteFunc(f.views, func(v api.SavedView) bool { return v.ID == id })
	if len(f.views) == before {
		return notFound("such view")
	}
	f.did(ctx, "deleteView", "", "", false)
	return nil
}
