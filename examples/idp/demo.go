package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/doorward/doorward/examples/idp/accounts"
	"github.com/doorward/doorward/examples/idp/demo"
	"github.com/doorward/doorward/examples/idp/settings"
	"github.com/doorward/doorward/server"
	"github.com/doorward/doorward/storage"
)

const demoID = "demo"

// demoRecord is what the demo application must know again after a restart. The
// store seals it.
type demoRecord struct {
	Username string         `json:"username"`
	ClientID string         `json:"client_id"`
	Secret   storage.Secret `json:"client_secret"`
}

// made is what the first start made, to be shown this once.
type made struct {
	demoRecord
	password storage.Secret
	first    bool
}

// openDemo returns the demo's user and client, and makes them at the first start:
// all or nothing, so that a crash can't leave what nobody has the password of.
func (p *provider) openDemo(ctx context.Context, base string) (made, error) {
	var m made
	err := p.server.Store().Do(ctx, func(ctx context.Context) error {
		m = made{}
		found, err := p.demo.Get(ctx, demoID)
		if err == nil {
			m.demoRecord = *found
			return p.moveDemo(ctx, found.ClientID, base)
		}
		if !errors.Is(err, storage.ErrNotFound) {
			return err
		}
		m.first = true
		return p.makeDemo(ctx, base, &m)
	})
	if err != nil {
		return made{}, fmt.Errorf("set up the demo (--no-demo leaves it out): %w", err)
	}
	return m, nil
}

func (p *provider) makeDemo(ctx context.Context, base string, m *made) error {
	free := func(n int) string {
		if n == 0 {
			return demoID
		}
		return fmt.Sprintf("%s%d", demoID, n+1)
	}
	for n := 0; ; n++ {
		u, password, err := p.people.Add(ctx, accounts.User{
			Username: free(n), Name: "Demo User", Email: free(n) + "@example.com", EmailVerified: true,
		}, "")
		if errors.Is(err, accounts.ErrExists) {
			continue
		}
		if err != nil {
			return err
		}
		m.Username, m.password = u.Username, password
		break
	}
	for n := 0; ; n++ {
		client, secret, err := p.server.Clients().Create(ctx, storage.Client{
			ID: free(n), Name: "Demo application", Scope: "openid profile email",
			RedirectURIs: []string{demo.RedirectURI(base)}, PostLogoutRedirectURIs: []string{demo.SignedOutURI(base)},
			BackchannelLogoutURI: demo.ToldURI(base),
		})
		if errors.Is(err, server.ErrExists) {
			continue
		}
		if err != nil {
			return err
		}
		m.ClientID, m.Secret = client.ID, secret
		break
	}
	return p.demo.Put(ctx, &m.demoRecord)
}

// moveDemo follows the application to another address, and tells a client that an older
// release made what it lacks.
func (p *provider) moveDemo(ctx context.Context, id, base string) error {
	client, err := p.server.Clients().Get(ctx, id)
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return nil // somebody removed it, which the application will say
	case err != nil:
		return err
	}
	if p.server.Clients().Configured(id) || slices.Contains(client.RedirectURIs, demo.RedirectURI(base)) && client.BackchannelLogoutURI == demo.ToldURI(base) {
		return nil
	}
	client.RedirectURIs, client.PostLogoutRedirectURIs = []string{demo.RedirectURI(base)}, []string{demo.SignedOutURI(base)}
	client.BackchannelLogoutURI = demo.ToldURI(base)
	_, err = p.server.Clients().Update(ctx, client)
	return err
}

// credentials are those of the demo application.
func (p *provider) credentials(ctx context.Context) (id, secret string, err error) {
	r, err := p.demo.Get(ctx, demoID)
	if err != nil {
		return "", "", err
	}
	if _, err := p.server.Clients().Get(ctx, r.ClientID); err != nil {
		return "", "", fmt.Errorf("the demo's client %q is gone: %w", r.ClientID, err)
	}
	return r.ClientID, string(r.Secret), nil
}

// rotated hands a new secret of the demo's client to the application.
func (p *provider) rotated(ctx context.Context, id string, secret storage.Secret) error {
	return p.server.Store().Do(ctx, func(ctx context.Context) error {
		r, err := p.demo.Get(ctx, demoID)
		if errors.Is(err, storage.ErrNotFound) || err == nil && r.ClientID != id {
			return nil
		}
		if err != nil {
			return err
		}
		r.Secret = secret
		return p.demo.Put(ctx, r)
	})
}

// demoHTTP reaches the provider as the demo application does: over the network,
// trusting the certificate that it serves with, which may be of its own making.
func (p *provider) demoHTTP() *http.Client {
	transport := &http.Transport{ResponseHeaderTimeout: 10 * time.Second, IdleConnTimeout: 30 * time.Second}
	if p.settings.TLS() {
		transport.DialTLSContext = p.dialItself
	}
	return &http.Client{Transport: transport, Timeout: 15 * time.Second}
}

// dialItself reads the certificate for each connection, since it may have been renewed.
func (p *provider) dialItself(ctx context.Context, network, address string) (net.Conn, error) {
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	chain, err := os.ReadFile(p.settings.Cert)
	if err != nil {
		return nil, fmt.Errorf("read the certificate: %w", err)
	}
	roots.AppendCertsFromPEM(chain)
	d := tls.Dialer{Config: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
	return d.DialContext(ctx, network, address)
}

// announce tells where the provider is, and at the first start what was made.
func (p *provider) announce(w io.Writer, base string, m *made) {
	if m == nil {
		return
	}
	if !m.first {
		fmt.Fprintf(w, "Open %s and sign in as %q. The password was printed at the first start;\n%s makes a new one.\n",
			base, m.Username, p.advice("user reset-password "+m.Username))
		return
	}
	frame(w, []string{
		"The identity provider runs. Open this and sign in:",
		"",
		"    " + base,
		"",
		"    Username       " + m.Username,
		"    Password       " + string(m.password),
		"",
		"The demo application is this client:",
		"",
		"    client_id      " + m.ClientID,
		"    client_secret  " + string(m.Secret),
		"",
		"Password and secret are shown this once. New ones are made by",
		"    " + p.advice("user reset-password "+m.Username),
		"    " + p.advice("client rotate-secret "+m.ClientID),
	})
}

// advice is a command line for this provider.
func (p *provider) advice(command string) string {
	switch s := p.settings; {
	case len(s.Paths) > 0:
		command += " --config " + s.Paths[0]
	case s.Postgres != "":
		// Its environment or flags name a secret; they are not repeated here.
	case s.Store != settings.DefaultStore:
		command += " --store " + s.Store
	}
	return self() + " " + command
}

// frame writes lines in a frame that is hard to overlook among log lines.
func frame(w io.Writer, lines []string) {
	width := 0
	for _, line := range lines {
		width = max(width, utf8.RuneCountInString(line))
	}
	edge := strings.Repeat("─", width+2)
	fmt.Fprintf(w, "\n┌%s┐\n", edge)
	for _, line := range lines {
		fmt.Fprintf(w, "│ %s%s │\n", line, strings.Repeat(" ", width-utf8.RuneCountInString(line)))
	}
	fmt.Fprintf(w, "└%s┘\n\n", edge)
}
