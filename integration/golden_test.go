package integration

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"crypto/x509"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/doorward/doorward/handlers"
	"github.com/doorward/doorward/server"
	"github.com/doorward/doorward/storage"
	"github.com/doorward/doorward/storage/bolt"
	"github.com/doorward/doorward/storage/moving"
	"github.com/doorward/doorward/storage/postgres"
)

var update = flag.Bool("update", false, "write the next golden database, if a keepsake is in none; those that are there never change")

// golden is what stands beside a database that an earlier state of the product wrote: what
// its clients and browsers were given. They are fixtures of a test and protect nothing.
type golden struct {
	Note    string                    `json:"note"`
	At      time.Time                 `json:"at"`     // where the clock stood when it was written
	Secret  string                    `json:"secret"` // that wraps its keys
	Clients map[string]knows          `json:"clients"`
	Things  map[string]map[string]any `json:"keepsakes"` // by the name of the keepsake
	Kinds   map[string][]string       `json:"kinds"`     // of all records: the members of their JSON
}

// knows is what a client knows of itself. What the server knows of it is in the database.
type knows struct {
	Method       string         `json:"method,omitempty"`
	RedirectURIs []string       `json:"redirect_uris,omitempty"`
	Secret       storage.Secret `json:"secret,omitempty"`
}

// keepsake is something that a database keeps for somebody. Each makes its own and looks
// at nothing of another, but for the clients.
type keepsake struct {
	name string
	keep func(v *visit) map[string]any
	hold func(v *visit, has had)
}

// visit is a provider on a golden database, whose clock stands where it stood then.
type visit struct {
	*world
	t     testing.TB
	alice *person    // who signs in where it does not matter who does
	told  *party     // where clients are told of sign-outs; nil while it is written
	docs  *publisher // of what clients publish; nil later
}

// had is what somebody was given then.
type had map[string]any

func (h had) text(name string) string { return plain(h[name]) }

func keepsakes() []keepsake {
	return slices.Concat(keptOfClients(), keptOfGrants(), keptOfKeys(), keptOfBrowsers(), keptOfDevices(), keptOfEnds())
}

const goldenNote = "A fixture of integration/golden_test.go: the secrets and tokens here open nothing but the database beside it. It never changes; what is new goes into the next one."

// TestGolden is a promise for upgrades: whatever an earlier state of the product has
// stored, in a file or moved to PostgreSQL since, is as good as it was.
func TestGolden(t *testing.T) {
	names, err := filepath.Glob(filepath.Join("testdata", "golden", "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	var all []*golden
	for _, name := range names {
		all = append(all, readGolden(t, name))
	}
	missing := slices.DeleteFunc(keepsakes(), func(k keepsake) bool {
		return slices.ContainsFunc(all, func(g *golden) bool { return g.Things[k.name] != nil })
	})
	if len(missing) > 0 && *update {
		name := filepath.Join("testdata", "golden", fmt.Sprintf("%03d.json", len(names)+1))
		writeGolden(t, name, missing)
		names, all, missing = append(names, name), append(all, readGolden(t, name)), nil
	}
	for _, k := range missing {
		t.Errorf("no golden database keeps %s: go test ./integration -run TestGolden -update writes the next one", k.name)
	}
	for i, name := range names {
		file := strings.TrimSuffix(name, ".json") + ".bolt.gz"
		for _, backend := range []string{"bolt", "postgres"} {
			t.Run(filepath.Base(name)+"/"+backend, func(t *testing.T) {
				t.Parallel()
				all[i].hold(t, unpacked(t, file), backend)
			})
		}
	}
}

func readGolden(t testing.TB, name string) *golden {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	g := &golden{}
	if err := json.Unmarshal(text, g); err != nil || len(g.Things) == 0 || g.At.IsZero() {
		t.Fatalf("%s keeps nothing: %v", name, err)
	}
	return g
}

// unpacked copies a golden database into a folder.
func unpacked(t testing.TB, file string) (dir string) {
	t.Helper()
	packed, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer packed.Close()
	reader, err := gzip.NewReader(packed)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(reader)
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "doorward.db"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// plan opens a golden database by a server that knows no client but those in it.
func (g *golden) plan(dir string, change func(*server.Config)) plan {
	return plan{backend: "bolt", dir: dir, at: g.At, configure: func(c *server.Config) {
		withDevices(c)
		c.Secrets, c.Clients = [][]byte{[]byte(g.Secret)}, nil
		c.Limits.Logins, c.Registration.PerAddress = 1, goldenRegistrations
		c.Accounts, c.Registration.Documents = 3, true
		c.Registration.Statements = []server.StatementIssuer{{Issuer: voucher, JWKS: vouches().keys()}}
		c.MutualTLS = server.MutualTLS{Accept: true, Roots: x509.NewCertPool(), Header: "Client-Cert"}
		c.Proxies = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
		for i := range c.Scopes {
			c.Scopes[i].Optional = strings.HasPrefix(c.Scopes[i].Name, "notes:")
		}
		c.Steps = []handlers.Step{steppedOnly("terms"), steppedOnly("factor")}
		c.Login = handlers.PasswordLogin{AskRemember: true, Verify: func(ctx context.Context, username, password string) (handlers.Subject, error) {
			s, err := verifyPassword(ctx, username, password)
			s.Org = "acme"
			return s, err
		}}
		claims := c.Claims
		c.Claims = func(ctx context.Context, r *handlers.ClaimsRequest) error {
			r.AccessToken["tenant"] = map[string]any{"name": "acme", "seats": []int{1, 2}}
			return claims(ctx, r)
		}
		change(c)
	}}
}

// steppedOnly is a step of the sign-in to some clients alone.
func steppedOnly(name string) handlers.Step {
	s := oneStep(name)
	needed := s.Needed
	s.Needed = func(ctx context.Context, in *handlers.Interaction) (bool, error) {
		if !strings.HasPrefix(in.Client.ID, "stepped") {
			return false, nil
		}
		return needed(ctx, in)
	}
	return s
}

// hold holds a server of today to what its database was written for.
func (g *golden) hold(t *testing.T, dir, backend string) {
	t.Helper()
	if _, err := bolt.Verify(t.Context(), filepath.Join(dir, "doorward.db")); err != nil {
		t.Error(err)
	}
	told := newParty(t)
	p := g.plan(dir, told.configure)
	if backend == "postgres" {
		p.backend, p.dsn = backend, databases.Database(t)
		g.move(t, dir, p.dsn)
	}
	v := &visit{world: start(t, p), t: t, told: told}
	told.w, v.alice = v.world, v.person()
	for id, c := range g.Clients {
		v.clients[id] = &storage.Client{ID: id, TokenEndpointAuthMethod: c.Method, RedirectURIs: c.RedirectURIs, Secret: c.Secret}
	}
	v.sound()
	if now := v.kinds(); !maps.EqualFunc(now, g.Kinds, slices.Equal) {
		t.Errorf("the database holds\n%v\nand beside it stands\n%v", now, g.Kinds)
	}
	all := keepsakes()
	for _, k := range all {
		if has := g.Things[k.name]; has != nil {
			v.of(k.name, func(v *visit) { k.hold(v, has) })
		}
	}
	for name := range g.Things {
		if !slices.ContainsFunc(all, func(k keepsake) bool { return k.name == name }) {
			t.Errorf("nobody looks any more whether %s is kept: a promise that was made is held for ever", name)
		}
	}
	v.sound()
}

// of runs a part of the test under a name of its own.
func (v *visit) of(name string, run func(v *visit)) {
	t, ok := v.t.(*testing.T)
	if !ok {
		return
	}
	t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) { run(&visit{world: v.world, t: t, alice: v.alice, told: v.told}) })
}

// move copies the database of a folder to PostgreSQL, as idp move does.
func (g *golden) move(t *testing.T, dir, dsn string) {
	t.Helper()
	to, err := postgres.OpenWith(t.Context(), dsn, postgres.Options{Logger: slog.New(slog.DiscardHandler), MaxConns: connections})
	if err != nil {
		t.Fatal(err)
	}
	g.moveTo(t, dir, to)
}

func (g *golden) moveTo(t testing.TB, dir string, to storage.Backend) {
	t.Helper()
	from, err := bolt.OpenWith(filepath.Join(dir, "doorward.db"), bolt.Options{Logger: slog.New(slog.DiscardHandler), InsecureAllowNetworkMount: true})
	if err != nil {
		t.Fatal(err)
	}
	b := moving.New(from)
	report, err := b.Move(t.Context(), to, moving.Options{From: "the file", To: "the other", Secrets: [][]byte{[]byte(g.Secret)}})
	if err != nil || report.Checksum == "" {
		t.Fatalf("the move: %+v, %v", report, err)
	}
	for _, end := range []func() error{b.Close, from.Close} {
		if err := end(); err != nil {
			t.Fatal(err)
		}
	}
}

// sound holds the store to open as a whole.
func (v *visit) sound() {
	v.t.Helper()
	if n, err := v.server.Store().Check(v.t.Context()); err != nil || n == 0 {
		v.t.Errorf("the check of %d records: %v", n, err)
	}
}

// kinds lists what the database holds: the members that the records of each kind have in
// their JSON. Counters have none.
func (v *visit) kinds() map[string][]string {
	v.t.Helper()
	ctx := v.t.Context()
	census, ok := storage.As[storage.Census](v.backend)
	if !ok {
		v.t.Fatal("the backend can't be counted")
	}
	tallies, err := census.Count(ctx, time.Time{})
	if err != nil {
		v.t.Fatal(err)
	}
	found := map[string][]string{}
	for _, of := range tallies {
		records, err := v.backend.List(ctx, storage.Query{Namespace: of.Namespace, Kind: of.Kind, Limit: storage.MaxPage})
		if err != nil {
			v.t.Fatal(err)
		}
		has := map[string]struct{}{}
		sealed := storage.Collect(v.server.Store(), of.Kind, 1, func(*map[string]any) storage.Meta { return storage.Meta{} })
		for i := range records {
			var plain map[string]any
			switch r := &records[i]; {
			case len(r.Value) == len(storage.CounterValue(0)):
				continue
			case json.Unmarshal(r.Value, &plain) == nil:
			default:
				opened, err := sealed.Get(ctx, r.ID)
				if err != nil {
					v.t.Fatalf("a %s: %v", of.Kind, err)
				}
				plain = *opened
			}
			paths(plain, "", has)
		}
		found[of.Kind] = append([]string{}, slices.Sorted(maps.Keys(has))...)
	}
	return found
}

// paths adds the paths of all members of a JSON value.
func paths(value any, path string, to map[string]struct{}) {
	switch value := value.(type) {
	case []any:
		for _, element := range value {
			paths(element, path, to)
		}
	case map[string]any:
		for name, member := range value {
			at := path + "/" + name
			to[at] = struct{}{}
			paths(member, at, to)
		}
	}
}

// writeGolden lets a server of today write a database with these keepsakes.
func writeGolden(t *testing.T, name string, all []keepsake) {
	t.Helper()
	// It does not matter which time it is, but for the hour in which registrations are counted.
	g := &golden{Note: goldenNote, Secret: wrapping, At: time.Date(2020, 1, 1, 12, 10, 0, 0, time.UTC), Clients: map[string]knows{}, Things: map[string]map[string]any{}}
	dir, packed := t.TempDir(), t.TempDir()
	docs := newPublisher(t)
	w, err := newWorld(g.plan(dir, func(c *server.Config) {
		c.Roots, c.Insecure.FetchHosts = docs.roots, []string{docs.host}
	}))
	if err != nil {
		t.Fatal(err)
	}
	v := &visit{world: w, t: t, alice: w.person(), docs: docs}
	for _, k := range all {
		g.Things[k.name] = k.keep(v)
	}
	for id, c := range v.clients {
		g.Clients[id] = knows{c.TokenEndpointAuthMethod, c.RedirectURIs, c.Secret}
	}
	g.At = v.now()
	if err := v.backend.Close(); err != nil {
		t.Fatal(err)
	}
	// By way of a move, so that it says where it lives, and compacted, so that it is small.
	file := filepath.Join(packed, "moved.db")
	to, err := bolt.OpenWith(file, bolt.Options{Logger: slog.New(slog.DiscardHandler), InsecureAllowNetworkMount: true})
	if err != nil {
		t.Fatal(err)
	}
	g.moveTo(t, dir, to)
	if err := bolt.Compact(t.Context(), file, filepath.Join(packed, "doorward.db")); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(filepath.Join(packed, "doorward.db"))
	if err != nil {
		t.Fatal(err)
	}
	again, err := newWorld(g.plan(packed, func(*server.Config) {}))
	if err != nil {
		t.Fatal(err)
	}
	g.Kinds = (&visit{world: again, t: t}).kinds()
	var zipped bytes.Buffer
	zip, err := gzip.NewWriterLevel(&zipped, gzip.BestCompression)
	if err == nil {
		_, err = zip.Write(raw)
	}
	text, unmade := json.MarshalIndent(g, "", "\t")
	for _, err := range []error{
		again.backend.Close(), err, zip.Close(), unmade,
		create(strings.TrimSuffix(name, ".json")+".bolt.gz", zipped.Bytes()), create(name, append(text, '\n')),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// create writes a file that must not be there.
func create(name string, text []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return cmp.Or(err, f.Close())
}
