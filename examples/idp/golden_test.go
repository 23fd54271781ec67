package main

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/doorward/doorward/examples/idp/accounts"
	"github.com/doorward/doorward/examples/idp/settings"
	"github.com/doorward/doorward/handlers"
	"github.com/doorward/doorward/server"
	"github.com/doorward/doorward/storage"
	"github.com/doorward/doorward/storage/bolt"
	"github.com/doorward/doorward/storage/moving"
)

var update = flag.Bool("update", false, "write the next golden database; those that are there never change")

// golden is what stands beside a database that an earlier state of the program wrote. What
// the server has in it is the matter of integration/golden_test.go.
type golden struct {
	Note     string              `json:"note"`
	Issuer   string              `json:"issuer"`
	Secret   string              `json:"secret"` // that wraps its keys
	Password string              `json:"password"`
	Said     map[string]any      `json:"user"` // of the store
	Demo     map[string]any      `json:"demo"`
	Kinds    map[string][]string `json:"kinds"` // of all records: the members of their JSON
}

// start is one start of the program with these clients in its configuration file.
func (g *golden) start(t *testing.T, b *moving.Backend, password string, clients ...string) *provider {
	t.Helper()
	s := &settings.Settings{
		Secrets: [][]byte{[]byte(g.Secret)}, Keys: server.Keys{Algorithms: []string{"ES256"}},
		Scopes: []server.Scope{{Name: "profile"}, {Name: "email"}},
	}
	for _, id := range clients {
		s.Clients = append(s.Clients, storage.Client{ID: id, Scope: "openid", RedirectURIs: []string{"https://" + id + ".test/cb"}, TokenEndpointAuthMethod: storage.AuthMethodNone})
	}
	s.Users = []accounts.Declared{
		{User: accounts.User{ID: "1001", Username: "erin"}, Password: storage.Secret(password)},
		{User: accounts.User{ID: "1002", Username: "frank", Disabled: true}, Password: "the password of frank"},
	}
	p, err := newProvider(t.Context(), s, g.Issuer, b, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (g *golden) open(t *testing.T, path string) *moving.Backend {
	t.Helper()
	file, err := bolt.OpenWith(path, bolt.Options{Logger: slog.New(slog.DiscardHandler), InsecureAllowNetworkMount: true})
	if err != nil {
		t.Fatal(err)
	}
	return moving.New(file)
}

const erins = "the password of erin"

// TestGolden: what an earlier program has stored of its own is as good as it was: people
// and their passwords, what it remembers of its configuration file, the demo.
func TestGolden(t *testing.T) {
	names, err := filepath.Glob(filepath.Join("testdata", "golden", "*.json"))
	if err == nil && *update {
		next := filepath.Join("testdata", "golden", fmt.Sprintf("%03d", len(names)+1))
		writeGolden(t, next)
		names = append(names, next+".json")
	}
	if err != nil || len(names) == 0 {
		t.Fatalf("there is no golden database: %v", err)
	}
	for _, name := range names {
		t.Run(filepath.Base(name), func(t *testing.T) { holdGolden(t, strings.TrimSuffix(name, ".json")) })
	}
}

func holdGolden(t *testing.T, name string) {
	t.Helper()
	beside, err := os.ReadFile(name + ".json")
	if err != nil {
		t.Fatal(err)
	}
	g := &golden{}
	if err := json.Unmarshal(beside, g); err != nil {
		t.Fatal(err)
	}
	packed, err := os.ReadFile(name + ".bolt.gz")
	if err != nil {
		t.Fatal(err)
	}
	reader, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := io.ReadAll(reader)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "idp.db")
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	b := g.open(t, path)
	defer b.Close()
	if was, err := lastIssuer(t.Context(), b); err != nil || was != g.Issuer {
		t.Errorf("the issuer was %q, %v", was, err)
	}
	memory, err := recallClients(t.Context(), b, g.Issuer)
	if err != nil || memory["stays"] != (clientMemo{}) || memory["left"] != (clientMemo{Returns: 1, Gone: true}) || len(memory) != 2 {
		t.Errorf("of the clients %+v is remembered, %v", memory, err)
	}
	p := g.start(t, b, erins, "stays")
	if n, err := p.server.Store().Check(t.Context()); err != nil || n == 0 {
		t.Errorf("the check of %d records: %v", n, err)
	}
	if now := g.kinds(t, p); !maps.EqualFunc(now, g.Kinds, slices.Equal) {
		t.Errorf("the database holds\n%v\nand beside it stands\n%v", now, g.Kinds)
	}
	g.holdPeople(t, p)
	again, err := p.openDemo(t.Context(), g.Issuer+demoPath)
	if err != nil || again.first {
		t.Errorf("the demo is made anew: %v", err)
	}
	for name, value := range g.Demo {
		if now := object(t, again.demoRecord)[name]; now != value {
			t.Errorf("the demo has %v in %s, and had %v", now, name, value)
		}
	}
	changes, err := p.people.Follow(t.Context(), p.server.RevokeSubject)
	if err != nil || len(changes) != 0 {
		t.Errorf("the same configuration file changed %+v, %v", changes, err)
	}
	p = g.start(t, b, "another password", "stays")
	changes, err = p.people.Follow(t.Context(), p.server.RevokeSubject)
	if err != nil || len(changes) != 1 || changes[0] != (accounts.Change{Subject: "1001", Username: "erin", Why: "password_changed"}) {
		t.Errorf("another password changed %+v, %v", changes, err)
	}
}

// holdPeople holds the program to know the people of its store, by all that finds them.
func (g *golden) holdPeople(t *testing.T, p *provider) {
	t.Helper()
	sub, _ := g.Said["sub"].(string)
	for _, login := range []string{"dora", "dora@people.test"} {
		if is, err := p.people.Verify(t.Context(), login, g.Password); err != nil || is.ID != sub || sub == "" {
			t.Errorf("%s signs in as %+v, %v", login, is, err)
		}
	}
	for login, password := range map[string]string{"dora": g.Password + "x", "otto": g.Password} { // otto is disabled
		if is, err := p.people.Verify(t.Context(), login, password); !errors.Is(err, handlers.ErrWrongPassword) {
			t.Errorf("%s signs in as %+v, %v", login, is, err)
		}
	}
	told := &handlers.ClaimsRequest{Subject: sub, User: map[string]any{}}
	if err := p.people.Claims(t.Context(), told); err != nil || told.User["team"] != "blue" {
		t.Errorf("of dora is told %v, %v", told.User, err)
	}
	u, err := p.people.Get(t.Context(), "dora")
	if err != nil {
		t.Fatal(err)
	}
	now, then := object(t, u), g.Said
	for name := range then {
		if text(t, now[name]) != text(t, then[name]) {
			t.Errorf("dora has %v in %s, and had %v", now[name], name, then[name])
		}
	}
}

func text(t *testing.T, value any) string {
	t.Helper()
	encoded, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(encoded)
}

func object(t *testing.T, value any) (all map[string]any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text(t, value)), &all); err != nil {
		t.Fatal(err)
	}
	return all
}

// kinds lists what the program has in the database beside the server.
func (g *golden) kinds(t *testing.T, p *provider) map[string][]string {
	t.Helper()
	census, ok := storage.As[storage.Census](p.backend)
	if !ok {
		t.Fatal("the backend can't be counted")
	}
	tallies, err := census.Count(t.Context(), time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	found := map[string][]string{}
	for _, of := range tallies {
		if of.Namespace == "idp" {
			found[of.Kind] = []string{}
			continue
		}
		if !strings.HasPrefix(of.Kind, "idp.") {
			continue
		}
		records, _, err := storage.Collect(p.server.Store(), of.Kind, 1, func(*map[string]any) storage.Meta { return storage.Meta{} }).List(t.Context(), "", "", storage.Page{})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range records {
			for name := range *r {
				if !slices.Contains(found[of.Kind], "/"+name) {
					found[of.Kind] = append(found[of.Kind], "/"+name)
				}
			}
		}
		slices.Sort(found[of.Kind])
	}
	return found
}

// writeGolden lets the program of today write a database.
func writeGolden(t *testing.T, name string) {
	t.Helper()
	ctx := t.Context()
	g := &golden{
		Note:   "A fixture of golden_test.go: the secrets here open nothing but the database beside it. It never changes.",
		Issuer: "http://127.0.0.1:8080", Secret: "Xk3vQ9ZmT5rWc7Yb1Nd8Ls2Hg6Pf4Jt0", Password: "the password of dora",
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(t.TempDir(), "idp.db")
	b := g.open(t, path)
	var p *provider
	for _, clients := range [][]string{{"stays", "left"}, {"stays"}, {"stays", "left"}, {"stays"}} { // it comes back once
		p = g.start(t, b, erins, clients...)
		must(p.followFile(ctx, b))
	}
	must(rememberIssuer(ctx, b, p.server, p.log))
	for _, username := range []string{"dora", "otto"} {
		u, _, err := p.people.Add(ctx, accounts.User{
			Username: username, Name: strings.ToUpper(username), Email: username + "@people.test", EmailVerified: true, Claims: map[string]any{"team": "blue"},
		}, storage.Secret(g.Password))
		must(err)
		if username == "dora" {
			g.Said = object(t, u)
		}
	}
	_, err := p.people.SetDisabled(ctx, "otto", true)
	must(err)
	demo, err := p.openDemo(ctx, g.Issuer+demoPath)
	must(err)
	g.Demo, g.Kinds = object(t, demo.demoRecord), g.kinds(t, p)
	must(b.Close())
	small := filepath.Join(t.TempDir(), "idp.db")
	must(bolt.Compact(ctx, path, small))
	raw, err := os.ReadFile(small)
	must(err)
	var packed bytes.Buffer
	zip, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	must(err)
	_, err = zip.Write(raw)
	must(cmp.Or(err, zip.Close()))
	beside, err := json.MarshalIndent(g, "", "\t")
	must(err)
	must(os.MkdirAll(filepath.Dir(name), 0o755))
	must(os.WriteFile(name+".bolt.gz", packed.Bytes(), 0o644))
	must(os.WriteFile(name+".json", append(beside, '\n'), 0o644))
}
