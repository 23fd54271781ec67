package storage_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/doorward/doorward/storage"
)

func TestCloneSharesNothing(t *testing.T) {
	var c storage.Client
	v := reflect.ValueOf(&c).Elem()
	for i := range v.NumField() { // every list that Client has now or later
		switch f := v.Field(i); f.Kind() {
		case reflect.Slice:
			f.Set(reflect.MakeSlice(f.Type(), 1, 1))
		case reflect.Pointer:
			f.Set(reflect.New(f.Type().Elem()))
		}
	}
	d := c.Clone()
	if diff := cmp.Diff(&c, d); diff != "" {
		t.Fatal(diff)
	}
	w := reflect.ValueOf(d).Elem()
	for i := range v.NumField() {
		switch f := v.Field(i); f.Kind() {
		case reflect.Slice, reflect.Pointer:
			if f.Pointer() == w.Field(i).Pointer() {
				t.Errorf("%s is shared", v.Type().Field(i).Name)
			}
		case reflect.Map:
			t.Errorf("%s: this test does not know how to fill a %s", v.Type().Field(i).Name, f.Kind())
		}
	}
}

func TestSecretOfAClientIsNeitherStoredNorLogged(t *testing.T) {
	w := newWorld(t)
	clients := storage.Clients(w.open(t))
	c := &storage.Client{ID: "app", Secret: "keep-me-quiet"}
	check(t, clients.Put(t.Context(), c))
	got, err := clients.Get(t.Context(), "app")
	check(t, err)
	if got.Secret != "" {
		t.Errorf("the secret came back: %q", string(got.Secret))
	}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("client", "secret", c.Secret)
	if strings.Contains(log.String(), "quiet") || !strings.Contains(log.String(), "[redacted]") {
		t.Errorf("logged %s", log.String())
	}
}

func TestClientDefaults(t *testing.T) {
	for name, c := range map[string]struct {
		client storage.Client
		grants string
		shown  string
	}{
		"a service": {storage.Client{ID: "s"}, "client_credentials", "s"},
		"an app":    {storage.Client{ID: "a", Name: "App", RedirectURIs: []string{"https://a"}}, "authorization_code refresh_token", "App"},
		"its own":   {storage.Client{ID: "o", GrantTypes: []string{"x"}, RedirectURIs: []string{"https://a"}}, "x", "o"},
	} {
		if got := strings.Join(c.client.Grants(), " "); got != c.grants {
			t.Errorf("%s: grants %s, want %s", name, got, c.grants)
		}
		if got := c.client.DisplayName(); got != c.shown {
			t.Errorf("%s is shown as %s", name, got)
		}
		if c.client.MayUse("password") || !c.client.MayUse(strings.Fields(c.grants)[0]) || c.client.Public() {
			t.Errorf("%s may use the wrong grants, or is public", name)
		}
	}
	public := storage.Client{TokenEndpointAuthMethod: storage.AuthMethodNone}
	if !public.Public() {
		t.Error("none makes no public client")
	}
}

// TestDomainRecordsAreListed holds each collection to the indexes it promises.
func TestDomainRecordsAreListed(t *testing.T) {
	w := newWorld(t)
	s := w.open(t)
	end := w.clock().Add(1e12)
	check(t, storage.Grants(s).Put(t.Context(), &storage.Grant{ID: "g", ClientID: "app", Subject: "alice", ExpiresAt: end}))
	check(t, storage.Grants(s).Put(t.Context(), &storage.Grant{ID: "h", ClientID: "app", ExpiresAt: end}))
	check(t, storage.Sessions(s).Put(t.Context(), &storage.Session{Key: "k", Subject: "alice", ExpiresAt: end}))
	check(t, storage.Consents(s).Put(t.Context(), &storage.Consent{Subject: "alice", ClientID: "app", ExpiresAt: end}))
	check(t, storage.AccessTokens(s).Put(t.Context(), &storage.AccessToken{Key: "t", Subject: "alice", ExpiresAt: end}))

	key := s.SubjectKey("alice")
	grants, _, err := storage.Grants(s).List(t.Context(), storage.IndexClient, "app", storage.Page{})
	check(t, err)
	ofAlice, _, err := storage.Grants(s).List(t.Context(), storage.IndexSubject, key, storage.Page{})
	check(t, err)
	sessions, _, err := storage.Sessions(s).List(t.Context(), storage.IndexSubject, key, storage.Page{})
	check(t, err)
	consents, _, err := storage.Consents(s).List(t.Context(), storage.IndexSubject, key, storage.Page{})
	check(t, err)
	if len(grants) != 2 || len(ofAlice) != 1 || len(sessions) != 1 || len(consents) != 1 {
		t.Errorf("%d grants of the client, %d grants, %d sessions, %d consents of the person; want 2, 1, 1, 1",
			len(grants), len(ofAlice), len(sessions), len(consents))
	}
	// A person's name stands in no key and no index.
	for _, kind := range []string{"grant", "session", "consent", "access"} {
		records, err := w.backend.List(t.Context(), storage.Query{Namespace: s.Namespace(), Kind: kind, Limit: 10})
		check(t, err)
		for _, r := range records {
			for _, text := range append([]string{r.ID, string(r.Value)}, indexValues(r)...) {
				if strings.Contains(text, "alice") {
					t.Errorf("a %s record shows the person", kind)
				}
			}
		}
	}
}

func indexValues(r storage.Record) (values []string) {
	for _, x := range r.Index {
		values = append(values, x.Value)
	}
	return values
}

// A whole number that a host puts into a token comes out as it went in.
func TestClaimsKeepTheirNumbers(t *testing.T) {
	s := newWorld(t).open(t)
	tokens := storage.AccessTokens(s)
	check(t, tokens.Put(t.Context(), &storage.AccessToken{
		Key: "t\xff", Claims: map[string]any{"account": int64(9007199254740993)}, ExpiresAt: s.Now().Add(time.Hour),
	}))
	got, err := tokens.Get(t.Context(), "t\xff")
	check(t, err)
	if n := fmt.Sprint(got.Claims["account"]); n != "9007199254740993" {
		t.Errorf("the number came back as %s", n)
	}
	if got.Key != "t\xff" {
		t.Errorf("the key came back as %q", got.Key)
	}
}
