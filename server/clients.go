package server

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/doorward/doorward/handlers"
	"github.com/doorward/doorward/internal/engine"
	"github.com/doorward/doorward/internal/opaque"
	"github.com/doorward/doorward/internal/outbound"
	"github.com/doorward/doorward/storage"
)

var (
	// ErrConfigured means that a client stands in Config.Clients, where alone it
	// can be changed.
	ErrConfigured = errors.New("server: the client stands in Config.Clients")

	// ErrExists means that there is a client of this ID already.
	ErrExists = errors.New("server: a client of this ID exists")
)

// Clients are the registered clients: those of the Config, which can be read
// here, and those of the store, which are made and changed here while the server
// runs. What it returns shows when a client's secrets were made and end, never
// their hashes. It is safe for concurrent use.
type Clients struct {
	configured map[string]*storage.Client
	order      []string // the configured IDs, sorted
	store      *storage.Store
	stored     *storage.Collection[storage.Client]
	secrets    *engine.ClientSecrets
	registrar  registrar

	registration  *Registration
	hookTime      time.Duration
	longest       time.Duration // that anything which was granted lives
	issuer        string
	base          string // URL under which the endpoints stand
	attempts      *attempts
	changes       *attempts // by client
	forbidden     *attempts // likewise, of those that the profile forbids
	documents     *documents
	statementKeys *outbound.Cache[[]byte]

	fetch *outbound.Client
	log   *slog.Logger
}

// openClients takes over the configured clients: their secrets become keyed hashes
// in memory. An ID that the store has as well is a problem.
func openClients(ctx context.Context, r *resolvedConfig, store *storage.Store, secrets *engine.ClientSecrets, fetch *outbound.Client, found *problems) (*Clients, error) {
	c := &Clients{
		configured: map[string]*storage.Client{}, store: store, stored: storage.Clients(store),
		secrets: secrets, registrar: r.registrar, fetch: fetch, log: r.log,
		registration: &r.Registration, hookTime: r.Limits.Hooks, longest: max(r.Lifetimes.RefreshAbsolute+r.longestSigned(), r.Lifetimes.Consent),
		issuer: r.Issuer, base: r.site.base(), attempts: &attempts{}, changes: &attempts{}, forbidden: &attempts{},
		statementKeys: outbound.NewCache(fetch, outbound.CacheOptions{
			Size: 100, Limit: maxKeySet, Least: time.Minute, Default: 10 * time.Minute, Most: time.Hour,
			Failure: 10 * time.Second, Again: time.Minute, Now: store.Now,
		}, func(body []byte) ([]byte, error) { return body, nil }),
	}
	for i := range r.Clients {
		client := r.Clients[i].Clone()
		client.Registered = nil
		if client.Secret != "" {
			client.Secrets = append(client.Secrets, kept(client, secrets.Keyed(client.Secret), client.Secret))
			client.Secret = ""
		}
		secrets.Expect(client)
		c.configured[client.ID] = client
		c.order = append(c.order, client.ID)
		switch was, err := c.stored.Get(ctx, client.ID); {
		case err == nil && was.FromDocument(): // the host's word comes before the document's
			client.Incarnation = cmp.Or(client.Incarnation, was.Incarnation)
		case err == nil:
			found.add(index("Clients", i), "the ID "+quoted(client.ID)+", which a client of the store has as well",
				"remove that one (Clients().Delete with this entry left out), or give this one another ID")
		case !errors.Is(err, storage.ErrNotFound):
			return nil, fmt.Errorf("server: look for the client %q in the store: %w", client.ID, err)
		}
	}
	c.documents = newDocuments(c)
	slices.Sort(c.order)
	stored, _, err := c.stored.List(ctx, "", "", storage.Page{Limit: storage.MaxPage})
	if err != nil {
		return nil, fmt.Errorf("server: read the clients of the store: %w", err)
	}
	for _, client := range stored {
		secrets.Expect(client)
	}
	return c, nil
}

// lookup returns a client with its hashes, for the engine. It is one of the last five
// seconds, or that which the unit of work has read, and not to be changed: others are
// given the same. One that was stored before the profile which forbids it was turned on is
// disabled.
func (c *Clients) lookup(ctx context.Context, id string) (*storage.Client, error) {
	client, err := c.find(ctx, id, c.stored.RecentView)
	if err != nil || c.configured[id] != nil {
		return client, err
	}
	if why := c.registrar.forbids(client); why != nil {
		if c.forbidden.note(id, c.store.Now()) == 1 {
			c.log.WarnContext(ctx, "a stored client is refused as disabled: FAPI 2.0 forbids it; change or remove it", "client_id", id, "err", why)
		}
		client = client.Clone()
		client.Disabled = true
	}
	return client, nil
}

// ref names what is read for a client, so that it can be read with other records. It is
// empty for a configured one, for which nothing is.
func (c *Clients) ref(id string) storage.Ref {
	if c.configured[id] != nil {
		return storage.Ref{}
	}
	return c.stored.RecentRef(id)
}

func (c *Clients) find(ctx context.Context, id string, read func(context.Context, string) (*storage.Client, error)) (*storage.Client, error) {
	if client := c.configured[id]; client != nil {
		if !client.ExpiresAt.IsZero() && !c.store.Now().Before(client.ExpiresAt) {
			return nil, storage.ErrNotFound
		}
		return client, nil
	}
	client, err := read(ctx, id)
	if err == nil && !client.FromDocument() || err != nil && !errors.Is(err, storage.ErrNotFound) {
		return client, err
	}
	return c.documents.lookup(ctx, id, client)
}

// Create registers a client in the store. A confidential client without a Secret
// or Secrets gets a secret of 256 bits, which is returned this once and stored as
// a hash; the result is empty for public clients and for a secret of the caller's
// own. An empty ID is filled in. A SectorIdentifierURI is fetched and must list all
// redirect URIs; one of a client in Config.Clients, whose author is trusted, is not.
// The error is ErrInvalid with all problems
// (errors.Join of *Problem), ErrExists, or the store's.
func (c *Clients) Create(ctx context.Context, client storage.Client) (storage.Client, storage.Secret, error) {
	now := c.store.Now()
	made := client.Clone()
	made.Registered = nil
	if made.ID == "" {
		made.ID = opaque.NewID(now)
	}
	if err := c.check(made); err != nil {
		return storage.Client{}, "", err
	}
	if c.configured[made.ID] != nil {
		return storage.Client{}, "", fmt.Errorf("%w in Config.Clients: %q; choose another ID", ErrExists, made.ID)
	}
	if err := c.checkSector(ctx, made, nil); err != nil {
		return storage.Client{}, "", err
	}
	warnClient(c.log, made)
	var generated storage.Secret
	switch {
	case made.Secret != "":
		if err := c.bring(made); err != nil {
			return storage.Client{}, "", err
		}
	case made.TakesSecret() && len(made.Secrets) == 0:
		var hash storage.ClientSecret
		generated, hash = c.secrets.Generate(now)
		made.Secrets = []storage.ClientSecret{kept(made, hash, generated)}
	}
	made.Incarnation = base64.RawURLEncoding.EncodeToString(opaque.Random(12))
	made.CreatedAt = now
	err := c.store.Do(ctx, func(ctx context.Context) error {
		switch was, err := c.stored.Get(ctx, made.ID); {
		case err == nil && was.FromDocument(): // what was granted to that one ends with it
		case err == nil:
			return fmt.Errorf("%w: %q; choose another, or Update that one", ErrExists, made.ID)
		case !errors.Is(err, storage.ErrNotFound):
			return err
		}
		return c.stored.Put(ctx, made)
	})
	if err != nil {
		return storage.Client{}, "", err
	}
	c.log.InfoContext(ctx, "client created", "client_id", made.ID)
	return shown(made), generated, nil
}

// check notes what is wrong with a client that is to be stored.
func (c *Clients) check(client *storage.Client) error {
	found := &problems{}
	c.registrar.judge(client, found)
	for i, s := range client.Secrets {
		if strings.HasPrefix(s.Hash, "hmac:") || s.Value != "" {
			found.add(index("secrets", i), "what only the server makes", "leave it out, and hand over the secret itself as Secret")
		}
	}
	return found.err()
}

// kept is what is stored of a secret: its hash, and the secret itself for a client that
// signs with it, because a hash verifies no signature.
func kept(c *storage.Client, hash storage.ClientSecret, plain storage.Secret) storage.ClientSecret {
	if c.TokenEndpointAuthMethod == storage.AuthMethodSecretJWT {
		hash.Value = plain
	}
	return hash
}

// usable returns the secrets that a client can go on with after it was changed.
func usable(c *storage.Client, secrets []storage.ClientSecret) []storage.ClientSecret {
	signs := c.TokenEndpointAuthMethod == storage.AuthMethodSecretJWT
	var left []storage.ClientSecret
	for _, s := range secrets {
		if signs && s.Value == "" {
			continue
		}
		left = append(left, kept(c, storage.ClientSecret{Hash: s.Hash, CreatedAt: s.CreatedAt, ExpiresAt: s.ExpiresAt}, s.Value))
	}
	return left
}

// bring replaces the client's secrets by one of its own choosing.
func (c *Clients) bring(client *storage.Client) error {
	if client.TokenEndpointAuthMethod == storage.AuthMethodSecretJWT {
		hash := c.secrets.Keyed(client.Secret) // what lies beside it makes a slow hash pointless
		hash.CreatedAt = c.store.Now()
		client.Secret, client.Secrets = "", append(client.Secrets, kept(client, hash, client.Secret))
		return nil
	}
	hash, err := c.secrets.Bring(client.Secret, c.store.Now())
	if err != nil {
		return fmt.Errorf("server: hash the client's secret: %w", err)
	}
	client.Secret, client.Secrets = "", append(client.Secrets, hash)
	return nil
}

// Get returns a client. The error is storage.ErrNotFound, or the store's.
func (c *Clients) Get(ctx context.Context, id string) (storage.Client, error) {
	client, err := c.find(ctx, id, c.stored.Get)
	if err != nil {
		return storage.Client{}, err
	}
	return shown(client), nil
}

// Configured says whether a client stands in Config.Clients, where alone it can
// be changed.
func (c *Clients) Configured(id string) bool { return c.configured[id] != nil }

// List returns one page of all clients by ID, configured and stored, and the After
// of the next page, empty after the last.
func (c *Clients) List(ctx context.Context, page storage.Page) (clients []storage.Client, next string, err error) {
	if page.Limit == 0 {
		page.Limit = 100
	}
	stored, more, err := c.stored.List(ctx, "", "", page)
	if err != nil {
		return nil, "", err
	}
	all := slices.DeleteFunc(stored, gone)
	for _, id := range c.order {
		if page.After == "" || !page.Descending && id > page.After || page.Descending && id < page.After {
			all = append(all, c.configured[id])
		}
	}
	slices.SortFunc(all, func(a, b *storage.Client) int {
		if page.Descending {
			a, b = b, a
		}
		return strings.Compare(a.ID, b.ID)
	})
	if len(all) > page.Limit || more != "" {
		all = all[:min(page.Limit, len(all))]
		next = more
		if len(all) > 0 {
			next = all[len(all)-1].ID
		}
	}
	for _, client := range all {
		clients = append(clients, shown(client))
	}
	return clients, next, nil
}

// Update changes what is registered of a client, all of it but its secrets, its
// creation and its incarnation, so that its tokens stay valid. A Secret that is set
// takes the place of all others; a client made public, or made one that signs, loses
// its secrets; one made confidential, or made one that signs with its secret, without a
// Secret gets one from RotateSecret. A client that nobody entered does not expire while it
// is Disabled. The error is
// ErrInvalid with all problems, ErrConfigured, storage.ErrNotFound, or the store's.
func (c *Clients) Update(ctx context.Context, client storage.Client) (storage.Client, error) {
	if err := c.changeable(client.ID); err != nil {
		return storage.Client{}, err
	}
	changed := client.Clone()
	changed.Secrets = nil
	if err := c.check(changed); err != nil {
		return storage.Client{}, err
	}
	was, err := c.stored.Get(ctx, client.ID)
	if err != nil {
		return storage.Client{}, err
	}
	if err := c.checkSector(ctx, changed, was); err != nil {
		return storage.Client{}, err
	}
	warnClient(c.log, changed)
	brought := changed.Secret != ""
	if brought {
		if err := c.bring(changed); err != nil {
			return storage.Client{}, err
		}
	}
	err = c.store.Do(ctx, func(ctx context.Context) error {
		was, err := c.stored.Get(ctx, client.ID)
		if err != nil {
			return err
		}
		if !brought && changed.TakesSecret() {
			changed.Secrets = usable(changed, was.Secrets)
		}
		changed.Incarnation, changed.CreatedAt, changed.Registered = was.Incarnation, was.CreatedAt, was.Registered
		switch {
		case was.Registered == nil:
		case changed.Disabled:
			changed.ExpiresAt = time.Time{} // or it would come back by itself
		case was.Disabled && changed.ExpiresAt.IsZero():
			changed.ExpiresAt = c.store.Now().Add(c.registration.Idle)
		}
		return c.stored.Put(ctx, changed)
	})
	if err != nil {
		return storage.Client{}, err
	}
	c.log.InfoContext(ctx, "client changed", "client_id", changed.ID)
	return shown(changed), nil
}

// Delete removes a client with everything it holds: a client that is later made
// under the same ID revives nothing. One that is known by a document at its ID comes
// again with the next person who allows it; Disabled keeps it out. Deleting a client that
// does not exist is storage.ErrNotFound; a configured one is ErrConfigured.
func (c *Clients) Delete(ctx context.Context, id string) error {
	if err := c.changeable(id); err != nil {
		return err
	}
	err := c.store.Do(ctx, func(ctx context.Context) error {
		switch was, err := c.stored.Get(ctx, id); {
		case err != nil:
			return err
		case was.FromDocument():
			return c.documents.end(ctx, was)
		}
		return c.stored.Delete(ctx, id)
	})
	if err == nil {
		c.log.InfoContext(ctx, "client removed", "client_id", id)
	}
	return err
}

// RotateSecret gives a confidential client a new secret and returns it, this once.
// The newest of the secrets before stays valid for overlap, any other ends at once,
// so that two are valid at most. The error is ErrInvalid for a public client or a
// negative overlap, ErrConfigured, storage.ErrNotFound, or the store's.
func (c *Clients) RotateSecret(ctx context.Context, id string, overlap time.Duration) (storage.Secret, error) {
	if err := c.changeable(id); err != nil {
		return "", err
	}
	found := &problems{}
	if overlap < 0 {
		found.add("overlap", overlap.String(), "write how long the secret before stays valid, or 0")
		return "", found.err()
	}
	now := c.store.Now()
	secret, hash := c.secrets.Generate(now)
	err := c.store.Do(ctx, func(ctx context.Context) error {
		client, err := c.stored.Get(ctx, id)
		if err != nil {
			return err
		}
		if !client.TakesSecret() {
			found := &problems{}
			found.add("token_endpoint_auth_method", quoted(client.TokenEndpointAuthMethod), "let the client take a secret by Update first")
			return found.err()
		}
		client.Secrets = append(keepNewest(client.Secrets, now, overlap), kept(client, hash, secret))
		return c.stored.Put(ctx, client)
	})
	if err != nil {
		return "", err
	}
	c.log.InfoContext(ctx, "client secret rotated", "client_id", id, "overlap", overlap.String())
	return secret, nil
}

// keepNewest returns the newest secret that is valid at now, ending after overlap.
func keepNewest(secrets []storage.ClientSecret, now time.Time, overlap time.Duration) []storage.ClientSecret {
	if overlap == 0 {
		return nil
	}
	var newest *storage.ClientSecret
	for i := range secrets {
		s := &secrets[i]
		if (s.ExpiresAt.IsZero() || now.Before(s.ExpiresAt)) && (newest == nil || !s.CreatedAt.Before(newest.CreatedAt)) {
			newest = s
		}
	}
	if newest == nil {
		return nil
	}
	kept := *newest
	if end := now.Add(overlap); kept.ExpiresAt.IsZero() || end.Before(kept.ExpiresAt) {
		kept.ExpiresAt = end
	}
	return []storage.ClientSecret{kept}
}

func (c *Clients) changeable(id string) error {
	if c.configured[id] != nil {
		return fmt.Errorf("%w: %q; change it there and start again", ErrConfigured, id)
	}
	return nil
}

// endpoint is the registration endpoint, nil where there is none.
func (c *Clients) endpoint() handlers.Registrar {
	if !c.registration.on() {
		return nil
	}
	return registrations{c}
}

// shown is a client as hosts may see it.
func shown(c *storage.Client) storage.Client {
	d := c.Clone()
	d.Secret = ""
	if d.Registered != nil {
		d.Registered.Token = ""
	}
	for i := range d.Secrets {
		d.Secrets[i].Hash, d.Secrets[i].Value = "", ""
	}
	return *d
}
