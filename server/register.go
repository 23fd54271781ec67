package server

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/doorward/doorward/handlers"
	"github.com/doorward/doorward/internal/engine"
	"github.com/doorward/doorward/internal/opaque"
	"github.com/doorward/doorward/storage"
)

const (
	kindRegistrations = "registrations"
	managementPrefix  = "dwm_"
	sharedPrefix      = "public-"
	maxProblems       = 4000 // characters
	pathRegister      = "/register"
)

// registrations is the registration endpoint. RFC 7591, RFC 7592
type registrations struct{ *Clients }

// application is a client that asks to be registered.
type application struct {
	NewClient
	sent      []string // redirect URIs
	statement string   // the software statement
}

// Register registers a client. RFC 7591 §3
//
// A public client of the open endpoint has nothing that tells one copy of it from
// another: whoever sends the same metadata gets the same client_id, which is derived from
// them, so that a program which registers at each start leaves one record. Nobody can
// change such a client, because all its copies would change. Every other client is its
// registrant's own, since it has a secret, a token to manage it, or somebody who vouched.
func (r registrations) Register(ctx context.Context, q handlers.RegistrationRequest) (map[string]any, error) {
	by, err := r.initialToken(ctx, q.Token)
	if err != nil {
		return nil, err
	}
	if by == nil {
		if err := r.early(ctx, q.Source); err != nil {
			return nil, err
		}
	}
	a, err := r.apply(ctx, q.Body, by, nil, q.Source)
	if err != nil {
		return nil, err
	}
	made, told := a.Client, storage.Secret("")
	now := r.store.Now()
	made.CreatedAt, made.ExpiresAt = now, now.Add(r.registration.Unused)
	made.Incarnation = base64.RawURLEncoding.EncodeToString(opaque.Random(12))
	var management storage.Secret
	switch {
	case by == nil && made.Public():
		if err := r.share(made); err != nil {
			return nil, err
		}
	default:
		made.ID = opaque.NewID(now)
		management = storage.Secret(opaque.NewToken(managementPrefix, now))
		made.Registered.Token = r.hashToken(management)
	}
	if made.TakesSecret() {
		var hash storage.ClientSecret
		told, hash = r.secrets.Generate(now)
		made.Secrets = []storage.ClientSecret{kept(made, hash, told)}
	}
	kept, fresh, err := r.keep(ctx, made, by, q.Source)
	if err != nil {
		return nil, err
	}
	if fresh {
		r.log.InfoContext(ctx, "client registered itself", "client_id", kept.ID, "token_id", kept.Registered.By)
	}
	return r.answer(kept, told, management, a)
}

// apply reads what somebody says of a client and lets everybody judge it. was is the
// client that is to be changed, nil for a new one; source is whom fetches are counted for.
func (r registrations) apply(ctx context.Context, body []byte, by *storage.InitialToken, was *storage.Client, source string) (*application, error) {
	found := &problems{}
	members := readMetadata(body, found)
	if err := found.err(); err != nil {
		return nil, refusedMetadata(found)
	}
	registered := &storage.Registered{Origin: storage.OriginRegistration}
	if was != nil {
		kept := *was.Registered
		registered = &kept
	}
	if by != nil {
		registered.By = by.ID
	}
	a := &application{}
	statement, err := r.overlay(ctx, members, registered)
	if err != nil {
		return nil, err
	}
	a.statement = statement
	client := clientOf(members, found)
	r.registration.shape(client, members, found)
	if was != nil {
		if client, err = replaced(was, client); err != nil {
			return nil, err
		}
		if slices.ContainsFunc(client.RedirectURIs, func(uri string) bool { return !slices.Contains(was.RedirectURIs, uri) }) {
			client.FirstParty = false // it was not trusted with that address; the policy may say so again
		}
	}
	client.Registered = registered
	a.NewClient = NewClient{Client: client, Metadata: members, Origin: registered.Origin, InitialToken: registered.By, Statement: registered.Statement, Update: was != nil}
	if err := r.settle(ctx, &a.NewClient, found); err != nil {
		return nil, err
	}
	if len(found.list) > 0 {
		return nil, refusedMetadata(found)
	}
	if asksSector(a.Client, was) {
		if n := r.documents.fetches.note(source, r.store.Now()); n > fetchesAnHour {
			return nil, r.tooMany(fmt.Sprintf("%s made this server fetch %d documents in an hour", source, n))
		}
	}
	if err := r.checkSector(ctx, a.Client, was); err != nil {
		if errors.Is(err, ErrInvalid) {
			return nil, refusedMetadata(&problems{list: []error{err}})
		}
		return nil, err
	}
	a.sent = a.Client.RedirectURIs
	return a, nil
}

// settle lets the policy and the checks that hold for all clients look at one that nobody
// entered.
func (c *Clients) settle(ctx context.Context, n *NewClient, found *problems) error {
	if len(found.list) == 0 { // a policy sees what can be read
		if err := c.admit(ctx, n); err != nil {
			return err
		}
	}
	placed := n.Client.ID == ""
	if placed {
		n.Client.ID = "new" // judged as any other; the ID is made later
	}
	c.registrar.judge(n.Client, found)
	if placed {
		n.Client.ID = ""
	}
	return nil
}

// share gives a public client the ID that follows from its metadata.
func (r registrations) share(c *storage.Client) error {
	c.RedirectURIs = withoutPorts(c.RedirectURIs)
	same := c.Clone()
	same.Incarnation, same.CreatedAt, same.ExpiresAt, same.Registered = "", time.Time{}, time.Time{}, nil
	encoded, err := json.Marshal(same)
	if err != nil {
		return fmt.Errorf("server: encode a client: %w", err)
	}
	c.ID = sharedPrefix + r.store.Lookup("registered client", string(encoded))
	return nil
}

// keep stores a client, unless it is one that is known already.
func (r registrations) keep(ctx context.Context, made *storage.Client, by *storage.InitialToken, source string) (kept *storage.Client, fresh bool, err error) {
	err = r.store.Do(ctx, func(ctx context.Context) error {
		kept, fresh = made, true
		switch was, err := r.stored.Get(ctx, made.ID); {
		case err == nil:
			kept, fresh = was, false
			return r.prolong(ctx, was)
		case !errors.Is(err, storage.ErrNotFound):
			return err
		}
		if by != nil {
			if err := r.use(ctx, by); err != nil {
				return err
			}
		} else if err := r.count(ctx, source); err != nil {
			return err
		}
		return r.stored.Put(ctx, made)
	})
	if errors.Is(err, storage.ErrLimit) && by != nil {
		return nil, false, usedUp(by)
	}
	if errors.Is(err, storage.ErrLimit) {
		return nil, false, r.tooMany("the limit was reached by requests at the same time")
	}
	return kept, fresh, err
}

// prolong gives somebody who registers what is known the time to use it. It writes once in
// half of that time at most.
func (r registrations) prolong(ctx context.Context, c *storage.Client) error {
	end := r.store.Now().Add(r.registration.Unused)
	if c.Registered == nil || c.ExpiresAt.IsZero() || end.Sub(c.ExpiresAt) < r.registration.Unused/2 {
		return nil
	}
	changed := c.Clone()
	changed.ExpiresAt = end
	return r.stored.Put(ctx, changed)
}

// window is the hour in which registrations are counted together.
func (r registrations) window() (name string, left time.Duration) {
	now := r.store.Now()
	hour := now.Truncate(time.Hour)
	return hour.Format("2006-01-02T15"), hour.Add(time.Hour).Sub(now)
}

// counters are the IDs of what is counted: what one address registers, and all together.
func (r registrations) counters(source string) (address, all string) {
	hour, _ := r.window()
	return r.store.Lookup("registration address", source, hour), "all " + hour
}

// count counts a registration in the unit of work of ctx.
func (r registrations) count(ctx context.Context, source string) error {
	address, all := r.counters(source)
	if err := r.store.Count(ctx, kindRegistrations, address, 1, int64(r.registration.PerAddress), 2*time.Hour); err != nil {
		return err
	}
	return r.store.Count(ctx, kindRegistrations, all, 1, int64(r.registration.InAll), 2*time.Hour)
}

// early refuses who would be refused by count, before a policy is asked and anything is
// fetched. Public clients that are known are served all the same, since they cost nothing:
// so this is only for who is far over the limit.
func (r registrations) early(ctx context.Context, source string) error {
	address, _ := r.counters(source)
	tried := r.attempts.note(address, r.store.Now())
	if tried > attemptsFactor*r.registration.PerAddress {
		return r.tooMany("one address sent " + fmt.Sprint(tried) + " requests in an hour")
	}
	return nil
}

// tooMany asks to wait. RFC 6585 §4
func (r registrations) tooMany(detail string) *engine.Error {
	_, left := r.window()
	return &engine.Error{
		Code: "temporarily_unavailable", Reason: "registration_limit", Status: http.StatusTooManyRequests, RetryAfter: left,
		Description: "Too many clients were registered within this hour. Try again after the time in Retry-After, or register once and keep the client_id.",
		Detail:      detail, Setting: "Registration.PerAddress and Registration.InAll",
	}
}

// answer tells what was registered. RFC 7591 §3.2.1, RFC 7592 §3
func (r registrations) answer(c *storage.Client, secret, management storage.Secret, a *application) (map[string]any, error) {
	told, err := r.registrar.metadataOf(c)
	if err != nil {
		return nil, err
	}
	told["client_id_issued_at"] = c.CreatedAt.Unix()
	if a != nil && len(a.sent) > 0 && slices.Equal(withoutPorts(a.sent), withoutPorts(c.RedirectURIs)) { // any port is as good
		told["redirect_uris"] = a.sent
	}
	if a != nil && a.statement != "" {
		told["software_statement"] = a.statement
	}
	if secret != "" {
		told["client_secret"], told["client_secret_expires_at"] = string(secret), 0
	}
	if management != "" {
		told["registration_access_token"], told["registration_client_uri"] = string(management), r.base+pathRegister+"/"+c.ID
	}
	return told, nil
}

// refusedMetadata tells all that is wrong with what somebody said of a client.
// RFC 7591 §3.2.2
func refusedMetadata(found *problems) *engine.Error {
	code := "invalid_client_metadata"
	var lines []string
	for line := range strings.Lines(found.err().Error()) {
		line = strings.TrimPrefix(strings.TrimSpace(line), "server: ")
		if strings.HasPrefix(line, "redirect_uris") {
			code = "invalid_redirect_uri"
		}
		lines = append(lines, line)
	}
	text := strings.Join(lines, ". ")
	if len(text) > maxProblems {
		text = text[:maxProblems] + "..."
	}
	return badMetadata(code, code, text)
}

func badMetadata(code, reason, description string) *engine.Error {
	return &engine.Error{Code: code, Reason: reason, Description: description, Status: http.StatusBadRequest}
}

// used lets a client that registered itself live on because somebody uses it. It rides on
// a commit that is made anyway, once a day at most.
func (c *Clients) used(ctx context.Context, client *storage.Client) error {
	if client.FromDocument() {
		return c.documents.keep(ctx, client)
	}
	if client.Registered == nil || client.ExpiresAt.IsZero() {
		return nil
	}
	end := c.store.Now().Add(c.registration.Idle)
	if end.Sub(client.ExpiresAt) < day {
		return nil
	}
	now, err := c.stored.Get(ctx, client.ID)
	if err != nil || now.ExpiresAt.IsZero() || end.Sub(now.ExpiresAt) < day {
		return err
	}
	now.ExpiresAt = end
	return c.stored.Put(ctx, now)
}
