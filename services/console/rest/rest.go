// Package rest is the HTTP API: openapi's operations, done by a backend.Backend.
//
// Requests are held against openapi.yaml before anything else looks at them, so that whatever stands in a parameter or a
// body is a problem with its field and never reaches a statement of the database.
package rest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/uuid"

	"github.com/throughline-dev/throughline/pkg/access"
	"github.com/throughline-dev/throughline/pkg/api"
	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/services/console/backend"
	"github.com/throughline-dev/throughline/services/console/openapi"
	"github.com/throughline-dev/throughline/services/console/problem"
)

// Base is where the API is: the paths that New's handler serves begin with it.
const Base = "/api/v1"

// retryAfter is what is told where the database or another actor is in the way.
const retryAfter = 5 * time.Second

// New makes the handler of all paths below Base. It expects who acts in the context of its requests (access.WithActor).
func New(b backend.Backend) (http.Handler, error) {
	doc, err := openapi3.NewLoader().LoadFromData(openapi.YAML)
	if err != nil {
		return nil, fmt.Errorf("reading openapi.yaml: %w", err)
	}
	router := newRouter(doc, b)
	strict := openapi.NewStrictHandlerWithOptions(&server{b: b}, nil, openapi.StrictHTTPServerOptions{
		RequestErrorHandlerFunc: func(w http.ResponseWriter, _ *http.Request, err error) {
			refuse(w, fault.Permanent(fault.Malformed, errors.New("the body is not the JSON that is asked for")))
		},
		ResponseErrorHandlerFunc: func(w http.ResponseWriter, _ *http.Request, err error) { refuse(w, err) },
	})
	openapi.HandlerWithOptions(strict, openapi.StdHTTPServerOptions{BaseURL: Base, BaseRouter: router, ErrorHandlerFunc: router.badParameter})
	router.mux.HandleFunc("/", router.nothing)
	return router, nil
}

// refuse answers with the problem that an error is.
func refuse(w http.ResponseWriter, err error) {
	p := problem.From(err)
	after := time.Duration(0)
	if p.Status == http.StatusServiceUnavailable {
		after = retryAfter
	}
	problem.Write(w, p, after)
}

// badParameter answers where the generated server could not read a parameter.
func (m *router) badParameter(w http.ResponseWriter, r *http.Request, err error) {
	if route := m.routes[r.Pattern]; route != nil {
		if forbidden := m.forbidden(route, r); forbidden != nil {
			refuse(w, forbidden)
			return
		}
	}
	name := ""
	var format *openapi.InvalidParamFormatError
	var required *openapi.RequiredParamError
	var many *openapi.TooManyValuesForParamError
	switch {
	case errors.As(err, &format):
		name = format.ParamName
	case errors.As(err, &required):
		name = required.ParamName
	case errors.As(err, &many):
		name = many.ParamName
	}
	refuse(w, problem.Field(name, fault.Permanent(fault.Malformed, fmt.Errorf("%s is not of the form that is asked for", name))))
}

// server does the operations.
type server struct{ b backend.Backend }

var _ openapi.StrictServerInterface = (*server)(nil)

// of gives what a pointer points at, or the zero value.
func of[T any](p *T) (value T) {
	if p != nil {
		value = *p
	}
	return value
}

func paging(cursor *openapi.Cursor, limit *openapi.Limit) backend.Paging {
	return backend.Paging{Cursor: of(cursor), Limit: of(limit)}
}

// next leaves "" out.
func next(cursor string) *string {
	if cursor == "" {
		return nil
	}
	return &cursor
}

// ListAccounts is openapi.StrictServerInterface's.
func (s *server) ListAccounts(ctx context.Context, r openapi.ListAccountsRequestObject) (openapi.ListAccountsResponseObject, error) {
	p, err := s.b.Accounts(ctx, of(r.Params.Q), of(r.Params.Owner), paging(r.Params.Cursor, r.Params.Limit))
	return openapi.ListAccounts200JSONResponse{Items: p.Items, Next: next(p.Next)}, err
}

// CreateAccount is openapi.StrictServerInterface's.
func (s *server) CreateAccount(ctx context.Context, r openapi.CreateAccountRequestObject) (openapi.CreateAccountResponseObject, error) {
	if r.Body.ParentID != nil && *r.Body.ParentID == uuid.Nil {
		return nil, problem.Field("parent_id", errors.New("no account has the id "+uuid.Nil.String()))
	}
	a, err := s.b.CreateAccount(ctx, backend.NewAccount{Name: r.Body.Name, Domain: of(r.Body.Domain), Owner: of(r.Body.Owner), Parent: of(r.Body.ParentID), Anyway: of(r.Body.Anyway)})
	return openapi.CreateAccount201JSONResponse(a), err
}

// GetAccount is openapi.StrictServerInterface's.
func (s *server) GetAccount(ctx context.Context, r openapi.GetAccountRequestObject) (openapi.GetAccountResponseObject, error) {
	a, err := s.b.Account(ctx, r.Account)
	return openapi.GetAccount200JSONResponse(a), err
}

// ChangeAccount is openapi.StrictServerInterface's.
func (s *server) ChangeAccount(ctx context.Context, r openapi.ChangeAccountRequestObject) (openapi.ChangeAccountResponseObject, error) {
	a, err := s.b.ChangeAccount(ctx, r.Account, backend.AccountChange{Name: r.Body.Name, Owner: r.Body.Owner, Anyway: of(r.Body.Anyway), Reason: of(r.Body.Reason)})
	return openapi.ChangeAccount200JSONResponse(a), err
}

// ListTimeline is openapi.StrictServerInterface's.
func (s *server) ListTimeline(ctx context.Context, r openapi.ListTimelineRequestObject) (openapi.ListTimelineResponseObject, error) {
	q := r.Params
	p, err := s.b.Timeline(ctx, backend.TimelineQuery{Account: r.Account, Newest: of(q.Order) == "desc", Source: of(q.Source), Type: of(q.Type), Since: of(q.Since), Until: of(q.Until),
		WithoutBodies: of(q.Fields) == "line", Paging: paging(q.Cursor, q.Limit)})
	return openapi.ListTimeline200JSONResponse{Items: p.Items, Next: next(p.Next)}, err
}

// GetDensity is openapi.StrictServerInterface's.
func (s *server) GetDensity(ctx context.Context, r openapi.GetDensityRequestObject) (openapi.GetDensityResponseObject, error) {
	spans := 120
	if r.Params.Spans != nil {
		spans = *r.Params.Spans
	}
	d, err := s.b.Density(ctx, r.Account, of(r.Params.Source), of(r.Params.Type), spans)
	return openapi.GetDensity200JSONResponse(d), err
}

// ListAccountLinks is openapi.StrictServerInterface's.
func (s *server) ListAccountLinks(ctx context.Context, r openapi.ListAccountLinksRequestObject) (openapi.ListAccountLinksResponseObject, error) {
	p, err := s.b.AccountLinks(ctx, r.Account, paging(r.Params.Cursor, r.Params.Limit))
	return openapi.ListAccountLinks200JSONResponse{Items: p.Items, Next: next(p.Next)}, err
}

// MergeAccount is openapi.StrictServerInterface's.
func (s *server) MergeAccount(ctx context.Context, r openapi.MergeAccountRequestObject) (openapi.MergeAccountResponseObject, error) {
	e, err := s.b.MergeAccount(ctx, r.Account, r.Body.Into, of(r.Body.Reason), r.Body.DryRun)
	return openapi.MergeAccount200JSONResponse(e), err
}

// GetEvent is openapi.StrictServerInterface's.
func (s *server) GetEvent(ctx context.Context, r openapi.GetEventRequestObject) (openapi.GetEventResponseObject, error) {
	e, err := s.b.Event(ctx, r.Event)
	return openapi.GetEvent200JSONResponse(e), err
}

// GetPassport is openapi.StrictServerInterface's.
func (s *server) GetPassport(ctx context.Context, r openapi.GetPassportRequestObject) (openapi.GetPassportResponseObject, error) {
	p, err := s.b.Passport(ctx, r.Event)
	return openapi.GetPassport200JSONResponse(p), err
}

// GetPayload is openapi.StrictServerInterface's.
func (s *server) GetPayload(ctx context.Context, r openapi.GetPayloadRequestObject) (openapi.GetPayloadResponseObject, error) {
	p, err := s.b.Payload(ctx, r.Event)
	return openapi.GetPayload200JSONResponse(p), err
}

// Search is openapi.StrictServerInterface's.
func (s *server) Search(ctx context.Context, r openapi.SearchRequestObject) (openapi.SearchResponseObject, error) {
	q := r.Params
	p, err := s.b.Search(ctx, backend.SearchQuery{Contains: of(q.Contains), Path: of(q.Path), Words: of(q.Words), Source: of(q.Source), Type: of(q.Type), Account: of(q.Account),
		Since: of(q.Since), Paging: paging(q.Cursor, q.Limit)})
	return openapi.Search200JSONResponse(p), err
}

// ListQuarantine is openapi.StrictServerInterface's.
func (s *server) ListQuarantine(ctx context.Context, r openapi.ListQuarantineRequestObject) (openapi.ListQuarantineResponseObject, error) {
	q := r.Params
	p, err := s.b.Quarantine(ctx, backend.QuarantineQuery{Reason: of(q.Reason), Source: of(q.Source), Reference: of(q.Reference), Status: string(of(q.Status)), Since: of(q.Since),
		Paging: paging(q.Cursor, q.Limit)})
	return openapi.ListQuarantine200JSONResponse{Items: p.Items, Next: next(p.Next)}, err
}

// ListQuarantineGroups is openapi.StrictServerInterface's.
func (s *server) ListQuarantineGroups(ctx context.Context, r openapi.ListQuarantineGroupsRequestObject) (openapi.ListQuarantineGroupsResponseObject, error) {
	p, err := s.b.QuarantineGroups(ctx, of(r.Params.Reason), of(r.Params.Source), paging(r.Params.Cursor, r.Params.Limit))
	return openapi.ListQuarantineGroups200JSONResponse{Items: p.Items, Next: next(p.Next)}, err
}

// GetQuarantineRecord is openapi.StrictServerInterface's.
func (s *server) GetQuarantineRecord(ctx context.Context, r openapi.GetQuarantineRecordRequestObject) (openapi.GetQuarantineRecordResponseObject, error) {
	d, err := s.b.QuarantineRecord(ctx, r.Record)
	return openapi.GetQuarantineRecord200JSONResponse(d), err
}

func selection(body *openapi.QuarantineSelection) backend.Selection {
	return backend.Selection{IDs: of(body.Ids), Reason: of(body.Reason), Source: of(body.Source), Reference: of(body.Reference), Since: of(body.Since), Note: of(body.Note), DryRun: body.DryRun}
}

// ReleaseQuarantine is openapi.StrictServerInterface's.
func (s *server) ReleaseQuarantine(ctx context.Context, r openapi.ReleaseQuarantineRequestObject) (openapi.ReleaseQuarantineResponseObject, error) {
	c, err := s.b.Release(ctx, selection(r.Body))
	return openapi.ReleaseQuarantine200JSONResponse(c), err
}

// DiscardQuarantine is openapi.StrictServerInterface's.
func (s *server) DiscardQuarantine(ctx context.Context, r openapi.DiscardQuarantineRequestObject) (openapi.DiscardQuarantineResponseObject, error) {
	c, err := s.b.Discard(ctx, selection(r.Body))
	return openapi.DiscardQuarantine200JSONResponse(c), err
}

// ListLinks is openapi.StrictServerInterface's.
func (s *server) ListLinks(ctx context.Context, r openapi.ListLinksRequestObject) (openapi.ListLinksResponseObject, error) {
	p, err := s.b.Links(ctx, of(r.Params.Source), of(r.Params.Account), paging(r.Params.Cursor, r.Params.Limit))
	return openapi.ListLinks200JSONResponse{Items: p.Items, Next: next(p.Next)}, err
}

// LinkReference is openapi.StrictServerInterface's.
func (s *server) LinkReference(ctx context.Context, r openapi.LinkReferenceRequestObject) (openapi.LinkReferenceResponseObject, error) {
	e, err := s.b.Link(ctx, *r.Body)
	return openapi.LinkReference200JSONResponse(e), err
}

// UnlinkReference is openapi.StrictServerInterface's.
func (s *server) UnlinkReference(ctx context.Context, r openapi.UnlinkReferenceRequestObject) (openapi.UnlinkReferenceResponseObject, error) {
	e, err := s.b.Unlink(ctx, r.Body.Reference, of(r.Body.Reason), of(r.Body.Never), r.Body.DryRun)
	return openapi.UnlinkReference200JSONResponse(e), err
}

// GetReference is openapi.StrictServerInterface's.
func (s *server) GetReference(ctx context.Context, r openapi.GetReferenceRequestObject) (openapi.GetReferenceResponseObject, error) {
	w, err := s.b.Reference(ctx, r.Reference)
	return openapi.GetReference200JSONResponse(w), err
}

// ListDecisions is openapi.StrictServerInterface's.
func (s *server) ListDecisions(ctx context.Context, r openapi.ListDecisionsRequestObject) (openapi.ListDecisionsResponseObject, error) {
	p, err := s.b.Decisions(ctx, of(r.Params.Reference), of(r.Params.Account), paging(r.Params.Cursor, r.Params.Limit))
	return openapi.ListDecisions200JSONResponse{Items: p.Items, Next: next(p.Next)}, err
}

// ListMoves is openapi.StrictServerInterface's.
func (s *server) ListMoves(ctx context.Context, r openapi.ListMovesRequestObject) (openapi.ListMovesResponseObject, error) {
	p, err := s.b.Moves(ctx, paging(r.Params.Cursor, r.Params.Limit))
	return openapi.ListMoves200JSONResponse{Items: p.Items, Next: next(p.Next)}, err
}

// ListSuggestions is openapi.StrictServerInterface's.
func (s *server) ListSuggestions(ctx context.Context, r openapi.ListSuggestionsRequestObject) (openapi.ListSuggestionsResponseObject, error) {
	p, err := s.b.Suggestions(ctx, string(of(r.Params.Status)), of(r.Params.Source), paging(r.Params.Cursor, r.Params.Limit))
	return openapi.ListSuggestions200JSONResponse{Items: p.Items, Next: next(p.Next)}, err
}

// GetSuggestion is openapi.StrictServerInterface's.
func (s *server) GetSuggestion(ctx context.Context, r openapi.GetSuggestionRequestObject) (openapi.GetSuggestionResponseObject, error) {
	e, err := s.b.Suggestion(ctx, r.Suggestion)
	return openapi.GetSuggestion200JSONResponse(e), err
}

// AcceptSuggestion is openapi.StrictServerInterface's.
func (s *server) AcceptSuggestion(ctx context.Context, r openapi.AcceptSuggestionRequestObject) (openapi.AcceptSuggestionResponseObject, error) {
	e, err := s.b.AcceptSuggestion(ctx, r.Suggestion, of(r.Body.Reason))
	return openapi.AcceptSuggestion200JSONResponse(e), err
}

// RejectSuggestion is openapi.StrictServerInterface's.
func (s *server) RejectSuggestion(ctx context.Context, r openapi.RejectSuggestionRequestObject) (openapi.RejectSuggestionResponseObject, error) {
	e, err := s.b.RejectSuggestion(ctx, r.Suggestion, of(r.Body.Reason))
	return openapi.RejectSuggestion200JSONResponse(e), err
}

// GetOverview is openapi.StrictServerInterface's.
func (s *server) GetOverview(ctx context.Context, _ openapi.GetOverviewRequestObject) (openapi.GetOverviewResponseObject, error) {
	o, err := s.b.Overview(ctx)
	return openapi.GetOverview200JSONResponse(o), err
}

// ListSources is openapi.StrictServerInterface's.
func (s *server) ListSources(ctx context.Context, _ openapi.ListSourcesRequestObject) (openapi.ListSourcesResponseObject, error) {
	list, err := s.b.Sources(ctx)
	return openapi.ListSources200JSONResponse{Items: list}, err
}

// ListPulls is openapi.StrictServerInterface's.
func (s *server) ListPulls(ctx context.Context, r openapi.ListPullsRequestObject) (openapi.ListPullsResponseObject, error) {
	p, err := s.b.Pulls(ctx, of(r.Params.Source), paging(r.Params.Cursor, r.Params.Limit))
	return openapi.ListPulls200JSONResponse{Items: p.Items, Next: next(p.Next)}, err
}

// StartPull is openapi.StrictServerInterface's.
func (s *server) StartPull(ctx context.Context, r openapi.StartPullRequestObject) (openapi.StartPullResponseObject, error) {
	p, err := s.b.StartPull(ctx, backend.NewPull{Source: r.Body.Source, Stream: of(r.Body.Stream), Since: r.Body.Since, Until: of(r.Body.Until), Types: of(r.Body.Types), Anyway: of(r.Body.Anyway), DryRun: of(r.Body.DryRun),
		Key: of(r.Params.IdempotencyKey)})
	return openapi.StartPull202JSONResponse(p), err
}

// ListPullRequests is openapi.StrictServerInterface's.
func (s *server) ListPullRequests(ctx context.Context, r openapi.ListPullRequestsRequestObject) (openapi.ListPullRequestsResponseObject, error) {
	p, err := s.b.PullRequests(ctx, of(r.Params.Source), of(r.Params.Open), paging(r.Params.Cursor, r.Params.Limit))
	return openapi.ListPullRequests200JSONResponse{Items: p.Items, Next: next(p.Next)}, err
}

// CancelPull is openapi.StrictServerInterface's.
func (s *server) CancelPull(ctx context.Context, r openapi.CancelPullRequestObject) (openapi.CancelPullResponseObject, error) {
	p, err := s.b.CancelPull(ctx, r.PullRequest)
	return openapi.CancelPull200JSONResponse(p), err
}

// ListGaps is openapi.StrictServerInterface's.
func (s *server) ListGaps(ctx context.Context, _ openapi.ListGapsRequestObject) (openapi.ListGapsResponseObject, error) {
	list, err := s.b.Gaps(ctx)
	return openapi.ListGaps200JSONResponse{Items: list}, err
}

// ListDomains is openapi.StrictServerInterface's.
func (s *server) ListDomains(ctx context.Context, r openapi.ListDomainsRequestObject) (openapi.ListDomainsResponseObject, error) {
	list, err := s.b.Domains(ctx, of(r.Params.Limit))
	return openapi.ListDomains200JSONResponse{Items: list}, err
}

// DecideDomain is openapi.StrictServerInterface's.
func (s *server) DecideDomain(ctx context.Context, r openapi.DecideDomainRequestObject) (openapi.DecideDomainResponseObject, error) {
	d, err := s.b.DecideDomain(ctx, r.Body.Domain, string(r.Body.Decision), of(r.Body.Reason))
	return openapi.DecideDomain200JSONResponse(d), err
}

// ListDrift is openapi.StrictServerInterface's.
func (s *server) ListDrift(ctx context.Context, r openapi.ListDriftRequestObject) (openapi.ListDriftResponseObject, error) {
	p, err := s.b.Drift(ctx, of(r.Params.Source), string(of(r.Params.Status)), paging(r.Params.Cursor, r.Params.Limit))
	return openapi.ListDrift200JSONResponse{Items: p.Items, Next: next(p.Next)}, err
}

// AcknowledgeDrift is openapi.StrictServerInterface's.
func (s *server) AcknowledgeDrift(ctx context.Context, r openapi.AcknowledgeDriftRequestObject) (openapi.AcknowledgeDriftResponseObject, error) {
	d, err := s.b.AcknowledgeDrift(ctx, r.Finding, of(r.Body.Reason))
	return openapi.AcknowledgeDrift200JSONResponse(d), err
}

// GetFeed is openapi.StrictServerInterface's.
func (s *server) GetFeed(ctx context.Context, r openapi.GetFeedRequestObject) (openapi.GetFeedResponseObject, error) {
	p, err := s.b.Feed(ctx, of(r.Params.Source), of(r.Params.Type), time.Duration(of(r.Params.Wait))*time.Second, paging(r.Params.Cursor, r.Params.Limit))
	return openapi.GetFeed200JSONResponse{Items: p.Items, Next: p.Next}, err
}

// GetMe is openapi.StrictServerInterface's.
func (s *server) GetMe(ctx context.Context, _ openapi.GetMeRequestObject) (openapi.GetMeResponseObject, error) {
	a := access.ActorOf(ctx)
	return openapi.GetMe200JSONResponse(api.Me{Who: a.Who, Role: string(a.Role)}), a.Require(access.Viewer)
}

// ListTokens is openapi.StrictServerInterface's.
func (s *server) ListTokens(ctx context.Context, r openapi.ListTokensRequestObject) (openapi.ListTokensResponseObject, error) {
	p, err := s.b.Tokens(ctx, backend.Paging{Limit: 1000})
	return openapi.ListTokens200JSONResponse{Items: p.Items, Next: next(p.Next)}, err
}

// CreateToken is openapi.StrictServerInterface's.
func (s *server) CreateToken(ctx context.Context, r openapi.CreateTokenRequestObject) (openapi.CreateTokenResponseObject, error) {
	t, err := s.b.CreateToken(ctx, r.Body.Name, access.Role(r.Body.Role), of(r.Body.ExpiresAt))
	return openapi.CreateToken201JSONResponse(t), err
}

// RevokeToken is openapi.StrictServerInterface's.
func (s *server) RevokeToken(ctx context.Context, r openapi.RevokeTokenRequestObject) (openapi.RevokeTokenResponseObject, error) {
	return openapi.RevokeToken204Response{}, s.b.RevokeToken(ctx, r.Token)
}

// ListAudit is openapi.StrictServerInterface's.
func (s *server) ListAudit(ctx context.Context, r openapi.ListAuditRequestObject) (openapi.ListAuditResponseObject, error) {
	p, err := s.b.Audit(ctx, of(r.Params.Who), of(r.Params.Action), paging(r.Params.Cursor, r.Params.Limit))
	return openapi.ListAudit200JSONResponse{Items: p.Items, Next: next(p.Next)}, err
}

// GetOpenAPI is openapi.StrictServerInterface's.
func (s *server) GetOpenAPI(ctx context.Context, _ openapi.GetOpenAPIRequestObject) (openapi.GetOpenAPIResponseObject, error) {
	return openapi.GetOpenAPI200ApplicationYamlResponse{Body: bytes.NewReader(openapi.YAML), ContentLength: int64(len(openapi.YAML))}, access.ActorOf(ctx).Require(access.Viewer)
}

// StreamLive is openapi.StrictServerInterface's.
func (s *server) StreamLive(ctx context.Context, r openapi.StreamLiveRequestObject) (openapi.StreamLiveResponseObject, error) {
	q := backend.TailQuery{Source: of(r.Params.Source), Type: of(r.Params.Type), After: of(r.Params.LastEventID)}
	if text := strings.TrimSpace(of(r.Params.Account)); text != "" {
		id, err := s.accountID(ctx, text)
		if err != nil {
			return nil, err
		}
		q.Account = id
	}
	ctx, cancel := context.WithCancel(ctx)
	events, err := s.b.Tail(ctx, q)
	if err != nil {
		cancel()
		return nil, err
	}
	return live{events: events, stop: cancel}, nil
}

// accountID gives the id of the account that a text means.
func (s *server) accountID(ctx context.Context, text string) (uuid.UUID, error) {
	if id, err := uuid.Parse(text); err == nil {
		return id, nil
	}
	found, err := s.b.Accounts(ctx, text, "", backend.Paging{Limit: 2})
	switch {
	case err != nil:
		return uuid.Nil, err
	case len(found.Items) != 1:
		return uuid.Nil, problem.Field("account", fault.Permanent(fault.NotFound, fmt.Errorf("%q does not name exactly one account: give its id", text)))
	}
	return found.Items[0].ID, nil
}
