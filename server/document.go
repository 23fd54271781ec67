package server

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/doorward/doorward/internal/engine"
	"github.com/doorward/doorward/internal/opaque"
	"github.com/doorward/doorward/internal/outbound"
	"github.com/doorward/doorward/storage"
)

const (
	maxDocument   = 10 << 10 // bytes
	maxDocuments  = 1000     // that are kept in memory, 10 MiB at most
	documentFresh = day      // from when on a refresh asks whether a document is still there
	documentStale = 30 * day // from when on it has to be
	documentPause = time.Minute
	fetchesAnHour = 100 // of one address
)

// documents are the clients whose ID is the URL of a document with their metadata.
// OAuth Client ID Metadata Document
type documents struct {
	clients *Clients
	cache   *outbound.Cache[*storage.Client]
	fetches attempts

	mu     sync.Mutex
	failed map[string]failure // of refreshes
}

// failure is why a refresh goes without a new document for a minute.
type failure struct {
	at      time.Time
	refused bool // by the document's host, its author or our own policy
}

func newDocuments(c *Clients) *documents {
	d := &documents{clients: c}
	d.cache = outbound.NewCacheOf(c.fetch, outbound.CacheOptions{
		Size: maxDocuments, Limit: maxDocument, Types: []string{"application/json", "+json"},
		Least: time.Minute, Default: time.Hour, Most: day, Again: time.Minute, Now: c.store.Now,
	}, d.judge)
	return d
}

// gone says that a record only holds what must not come back: see end.
func gone(c *storage.Client) bool { return c.FromDocument() && c.Registered.FetchedAt.IsZero() }

// lookup returns the client of a document. stored is what is kept of it, nil for nothing.
//
// Only who asks for something new makes the server fetch. What was granted goes on with
// what is kept: a document that is gone for a while signs nobody out, and a restart asks
// nobody. The error is storage.ErrNotFound, an *engine.Error, or that of ctx.
func (d *documents) lookup(ctx context.Context, id string, stored *storage.Client) (*storage.Client, error) {
	rules := d.clients.registration
	if !rules.Documents || !strings.HasPrefix(id, "https://") {
		return nil, storage.ErrNotFound
	}
	source, asks := engine.AskedBy(ctx)
	host, wrong := documentURL(id)
	switch {
	case wrong != "" && asks:
		return nil, badDocument("document_url", "The client_id is a URL that can not be one of a client: "+wrong+".", "client_id "+quoted(id))
	case wrong != "":
		return nil, storage.ErrNotFound
	}
	switch taken, err := d.clients.takes(ctx, host); {
	case err != nil:
		return nil, panicked("Registration.DocumentHost", err)
	case !taken:
		if !asks {
			return nil, storage.ErrNotFound
		}
		e := badDocument("document_host", "This server does not take clients of this host.", "client_id "+quoted(id))
		e.Setting = "Registration.DocumentHost"
		return nil, e
	}
	if fresh, known := d.cache.Known(id); known {
		return joined(fresh, stored), nil
	}
	switch {
	case asks:
		return d.ask(ctx, id, source, stored)
	case stored == nil || gone(stored):
		return nil, storage.ErrNotFound
	case engine.Renewing(ctx) && d.clients.store.Now().Sub(stored.Registered.FetchedAt) >= documentFresh:
		return d.renew(ctx, id, stored)
	}
	return stored, nil
}

// documentOf names a document in the memo of a unit of work.
type documentOf struct{ id string }

// ask fetches the document of a client that asks for something new.
func (d *documents) ask(ctx context.Context, id, source string, stored *storage.Client) (*storage.Client, error) {
	now := d.clients.store.Now()
	fresh, err := storage.Memo(ctx, d.clients.store, documentOf{id}, func() (*storage.Client, error) {
		if n := d.fetches.note(source, now); n > fetchesAnHour {
			e := badDocument("document_limit", "Too many clients were asked about from this address within an hour. Try again later.", fmt.Sprintf("%d in an hour", n))
			e.Code, e.Status, e.RetryAfter = "temporarily_unavailable", http.StatusTooManyRequests, 10*time.Minute
			return nil, e
		}
		return d.cache.Get(ctx, id)
	})
	if err != nil {
		return nil, d.explain(ctx, id, err)
	}
	return joined(fresh, stored), nil
}

// explain says what is wrong with a document: what stands in it to its author, what came
// over the network to the log alone.
func (d *documents) explain(ctx context.Context, id string, err error) error {
	known := (*engine.Error)(nil)
	switch {
	case errors.As(err, &known):
		return known
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, storage.ErrUnavailable):
		return err
	}
	return badDocument("document_fetch", "The document at this client_id could not be fetched. It must be answered with status 200, as application/json, "+
		"within 5 seconds and 10 KiB, without a redirect, from an address on the open Internet.", outbound.Detail(err)+" (client_id "+quoted(id)+")")
}

// renew asks for the document of a client to which something was granted long ago. One that
// can't be had for a while is missed after 30 days only. One that its author took away or
// made unfit, or that the policy refuses, is missed at once, until it is there again.
func (d *documents) renew(ctx context.Context, id string, stored *storage.Client) (*storage.Client, error) {
	now := d.clients.store.Now()
	d.mu.Lock()
	last := d.failed[id]
	d.mu.Unlock()
	if now.Sub(last.at).Abs() >= documentPause {
		fresh, failed := storage.Memo(ctx, d.clients.store, documentOf{id}, func() (*storage.Client, error) { return d.cache.Get(ctx, id) })
		if failed == nil {
			return joined(fresh, stored), nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		last = failure{now, refusedForGood(failed)}
		d.mu.Lock()
		if d.failed == nil || len(d.failed) >= maxDocuments {
			d.failed = map[string]failure{}
		}
		d.failed[id] = last
		d.mu.Unlock()
		if last.refused {
			d.clients.log.WarnContext(ctx, "the document of a client is gone or refused, and with it the client", "client_id", id, "err", outbound.Detail(failed))
		} else {
			d.clients.log.WarnContext(ctx, "the document of a client could not be fetched, what is kept of it is used", "client_id", id, "err", outbound.Detail(failed))
		}
	}
	if last.refused || now.Sub(stored.Registered.FetchedAt) >= documentStale {
		return nil, storage.ErrNotFound
	}
	return stored, nil
}

// refusedForGood says that asking again soon would bring the same: the host has answered
// without the document, or what it says is not acceptable.
func refusedForGood(err error) bool {
	if outbound.Refused(err) {
		return true
	}
	e, away := (*engine.Error)(nil), (*sectorAway)(nil)
	return errors.As(err, &e) && !errors.As(err, &away) && e.Status < http.StatusInternalServerError && e.Status != http.StatusTooManyRequests
}

// joined is a client as its document says, with what the server keeps of it.
func joined(fresh, stored *storage.Client) *storage.Client {
	c := fresh.Clone()
	if stored != nil {
		c.Incarnation, c.Disabled, c.CreatedAt, c.ExpiresAt = stored.Incarnation, stored.Disabled, stored.CreatedAt, stored.ExpiresAt
	}
	return c
}

// judge makes a client of a document, which is what registers it: it is held to the same
// rules as all others, and to those of its own.
func (d *documents) judge(ctx context.Context, id string, body []byte) (*storage.Client, error) {
	c := d.clients
	found := &problems{}
	members := readMetadata(body, found)
	if len(found.list) > 0 {
		return nil, documentProblems(found)
	}
	var said string
	if json.Unmarshal(members["client_id"], &said) != nil || said != id {
		found.add("client_id", quoted(string(members["client_id"])), "write %s, the URL of the document, character by character", quoted(id))
	}
	for _, name := range []string{"client_secret", "client_secret_expires_at"} {
		if _, there := members[name]; there {
			found.add(name, "a secret that everybody can read", "leave it out")
		}
	}
	registered := &storage.Registered{Origin: storage.OriginDocument, FetchedAt: c.store.Now()}
	if _, err := (registrations{c}).overlay(ctx, members, registered); err != nil {
		return nil, err
	}
	client := clientOf(members, found)
	if client.TokenEndpointAuthMethod == "" {
		client.TokenEndpointAuthMethod = storage.AuthMethodNone
	}
	if client.TakesSecret() && slices.Contains(c.registrar.authMethods(), client.TokenEndpointAuthMethod) {
		found.add("token_endpoint_auth_method", quoted(client.TokenEndpointAuthMethod), "write none or private_key_jwt: there can be no secret")
		return nil, documentProblems(found)
	}
	c.registration.shape(client, members, found)
	client.ID, client.Registered = id, registered
	n := &NewClient{Client: client, Metadata: members, Origin: storage.OriginDocument, Statement: registered.Statement}
	if err := c.settle(ctx, n, found); err != nil {
		return nil, err
	}
	if len(found.list) > 0 {
		return nil, documentProblems(found)
	}
	if err := c.checkSector(ctx, n.Client, nil); err != nil {
		refused := documentProblems(&problems{list: []error{err}})
		refused.Cause = err
		return nil, refused
	}
	if strings.Contains(id, "?") {
		c.log.WarnContext(ctx, "the client_id of a client has a query, which its authors should leave out", "client_id", id)
	}
	return n.Client, nil
}

// keep writes what is known of a client that is used, so that what is granted to it outlives
// its document, rarely more than once a day. It rides on a commit that is made anyway.
func (d *documents) keep(ctx context.Context, client *storage.Client) error {
	c := d.clients
	was, err := c.stored.Get(ctx, client.ID)
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return err
	}
	if was != nil && !was.FromDocument() {
		return nil // the host has entered it meanwhile
	}
	now := c.store.Now()
	kept, end := client.Clone(), now.Add(c.registration.Idle)
	if was != nil {
		kept.Incarnation, kept.Disabled, kept.CreatedAt = was.Incarnation, was.Disabled, was.CreatedAt
		recent := end.Sub(was.ExpiresAt) < day && kept.Registered.FetchedAt.Sub(was.Registered.FetchedAt) < documentFresh
		if recent && !gone(was) && alike(kept, was) {
			return nil
		}
	}
	if kept.CreatedAt.IsZero() {
		kept.CreatedAt = now
	}
	kept.ExpiresAt = end
	if was != nil && was.ExpiresAt.After(end) {
		kept.ExpiresAt = was.ExpiresAt // an incarnation lasts as long as what an earlier one has left
	}
	return c.stored.Put(ctx, kept)
}

// alike says whether two records tell the same of a client.
func alike(a, b *storage.Client) bool {
	var encoded [2][]byte
	for i, c := range []*storage.Client{a, b} {
		c = c.Clone()
		c.Registered.FetchedAt, c.CreatedAt, c.ExpiresAt = time.Time{}, time.Time{}, time.Time{}
		encoded[i], _ = json.Marshal(c) // what is stored always encodes
	}
	return bytes.Equal(encoded[0], encoded[1])
}

// end ends all that a client holds. Its ID can come back at any time, so another
// incarnation stands in its place until nothing of what it held could be alive.
func (d *documents) end(ctx context.Context, was *storage.Client) error {
	c := d.clients
	if gone(was) {
		return storage.ErrNotFound
	}
	return c.stored.Put(ctx, &storage.Client{
		ID: was.ID, TokenEndpointAuthMethod: storage.AuthMethodNone, CreatedAt: c.store.Now(),
		Incarnation: base64.RawURLEncoding.EncodeToString(opaque.Random(12)),
		ExpiresAt:   c.store.Now().Add(c.longest + day), Registered: &storage.Registered{Origin: storage.OriginDocument},
	})
}

// documentURL says what is wrong with a URL as that of a client, "" when nothing is.
// OAuth Client ID Metadata Document §3
func documentURL(id string) (host, wrong string) {
	u, err := url.Parse(id)
	if err != nil || outbound.CheckURL(id) != nil {
		return "", "it must be https, with a host, and without user, password and fragment"
	}
	path, host := u.EscapedPath(), strings.ToLower(u.Hostname())
	dots := func(segment string) bool {
		plain := strings.ReplaceAll(strings.ToLower(segment), "%2e", ".")
		return plain == "." || plain == ".."
	}
	switch {
	case len(id) > maxClientID:
		return "", fmt.Sprintf("it has more than %d characters", maxClientID)
	case !visible(id):
		return "", "it has other characters than visible ASCII"
	case !visible(host): // pages would show the letters that were encoded, which may look like others
		return "", "its host has letters other than ASCII: write it as xn--"
	case strings.HasSuffix(host, "."):
		return "", "its host ends in a dot"
	case path == "":
		return "", "it has no path"
	case slices.ContainsFunc(strings.Split(path, "/"), dots):
		return "", "its path has a segment of dots"
	}
	return host, ""
}

func documentProblems(found *problems) *engine.Error {
	text := refusedMetadata(found).Description
	return badDocument("document_invalid", "The document at this client_id is not acceptable. "+text, "")
}

func badDocument(reason, description, detail string) *engine.Error {
	return &engine.Error{Code: "invalid_client", Reason: reason, Description: description, Detail: detail, Status: http.StatusBadRequest}
}
