package server_test

import (
	"crypto/x509"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/doorward/doorward/server"
	"github.com/doorward/doorward/storage"
)

// A client may stand in a sector only when the sector's host says so. OpenID Connect
// Core §8.1
func TestSectorIdentifier(t *testing.T) {
	body, asked := "", 0
	host := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked++
		_, _ = w.Write([]byte(body))
	}))
	defer host.Close()
	config := valid(t)
	config.Roots = x509.NewCertPool()
	config.Roots.AddCert(host.Certificate())
	config.Insecure.FetchHosts = []string{strings.TrimPrefix(host.URL, "https://")}
	s := start(t, config)
	client := storage.Client{
		ID: "web", SubjectType: storage.SubjectPairwise, SectorIdentifierURI: host.URL + "/sector.json",
		RedirectURIs: []string{"https://a.example/cb", "https://b.example/cb"},
	}
	create := func() error {
		_, _, err := s.Clients().Create(t.Context(), client)
		return err
	}
	for want, document := range map[string]string{
		"redirect_uris[1]":      `["https://a.example/cb"]`,
		"redirect_uris[0]":      `["https://a.example/cb/", "https://b.example/cb"]`,
		"sector_identifier_uri": `{"redirect_uris":["https://a.example/cb","https://b.example/cb"]}`,
	} {
		body = document
		problem := (*server.Problem)(nil)
		if err := create(); !errors.As(err, &problem) || problem.Field != want {
			t.Errorf("%s: %v, want a problem with %s", document, err, want)
		}
	}
	body = `["https://b.example/cb", "https://a.example/cb", "https://c.example/cb"]`
	if err := create(); err != nil {
		t.Fatal(err)
	}
	asked = 0
	client.Name = "Web"
	if _, err := s.Clients().Update(t.Context(), client); err != nil || asked != 0 {
		t.Errorf("another name: %v, the sector was asked %d times", err, asked)
	}
	client.RedirectURIs = append(client.RedirectURIs, "https://d.example/cb")
	if _, err := s.Clients().Update(t.Context(), client); !errors.Is(err, server.ErrInvalid) {
		t.Errorf("a redirect URI of another's: %v", err)
	}
	client.ID, client.SectorIdentifierURI = "inside", "https://127.0.0.1:1/sector.json"
	if err := create(); !errors.Is(err, server.ErrInvalid) {
		t.Errorf("a sector that can't be reached: %v", err)
	}
}

// Nobody makes the server fetch without end: the documents of sectors are counted by
// address. RFC 6585 §4
func TestSectorsOfAFlood(t *testing.T) {
	asked := 0
	host := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked++
		_, _ = w.Write([]byte(`[]`))
	}))
	defer host.Close()
	r := newRegistrant(t, func(c *server.Config) {
		c.Roots = x509.NewCertPool()
		c.Roots.AddCert(host.Certificate())
		c.Insecure.FetchHosts = []string{strings.TrimPrefix(host.URL, "https://")}
	})
	body := `{"redirect_uris":["https://a.test/cb"],"subject_type":"pairwise","sector_identifier_uri":"` + host.URL + `/sector.json"}`
	codes := map[int]int{}
	for range 150 {
		w := r.send("192.0.2.1", "", body)
		codes[w.Code]++
		if w.Code == http.StatusTooManyRequests && w.Header().Get("Retry-After") == "" {
			t.Fatal("the answer does not say when to try again")
		}
	}
	if asked != 100 || codes[http.StatusBadRequest] != 100 || codes[http.StatusTooManyRequests] != 50 {
		t.Errorf("the sector was asked %d times, the answers were %v", asked, codes)
	}
	if w := r.send("198.51.100.7", "", body); w.Code != http.StatusBadRequest {
		t.Errorf("somebody else: %d", w.Code)
	}
}
