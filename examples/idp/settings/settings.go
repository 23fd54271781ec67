// Package settings reads what the operator of the example identity provider wants:
// from flags, the environment and a YAML file, in this order, and defaults for the
// rest. Everything that is wrong is reported at once, with its line.
package settings

import (
	"errors"
	"log/slog"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/doorward/doorward/examples/idp/accounts"
	"github.com/doorward/doorward/server"
	"github.com/doorward/doorward/storage"
)

// Settings are what the provider runs by, checked as far as one can without a
// database.
type Settings struct {
	Issuer string // empty: follows from the address that is listened on
	Listen string // host:port
	Prefix string
	Name   string // of the product, on every page

	Cert, Key string // TLS files; empty: plain HTTP
	Store     string // path of the database; empty with Postgres
	Postgres  string // DSN of the database; empty with Store
	Secrets   [][]byte

	AdminSocket string // empty: one that belongs to the database

	Clients   []storage.Client
	Users     []accounts.Declared
	Scopes    []server.Scope
	Audience  string // default audience of access tokens
	Resources []server.Resource

	Lifetimes server.Lifetimes
	Refresh   server.Refresh
	Keys      server.Keys
	Limits    server.Limits
	Overlay   string       // folder of replaced pages
	Pages     server.Pages // logo and colours
	Proxies   []netip.Prefix
	Insecure  server.Insecure

	RequirePushed bool
	DPoP          server.DPoP
	MutualTLS     server.MutualTLS
	RequireSigned bool
	FAPI2         bool
	MCP           []string
	Registration  server.Registration

	Demo        bool
	DeviceGrant bool

	LogLevel slog.Level
	LogJSON  bool
	Shutdown time.Duration // how long requests under way may take at the end

	// Paths are the configuration files that were read, for messages.
	Paths []string

	at places

	place        string // of the PostgreSQL database, for messages
	databaseAt   string // the setting that named its DSN
	secretsNamed bool
}

// TLS says whether the provider ends TLS itself.
func (s *Settings) TLS() bool { return s.Cert != "" }

// Flags are what the command line and the environment say. The empty value of a
// field leaves it to the file.
type Flags struct {
	Where
	Serving
}

// Where are the flags of every command: which provider is meant.
type Where struct {
	Config string `help:"Configuration file, YAML." placeholder:"FILE" env:"DOORWARD_CONFIG"`
	Issuer string `help:"URL by which clients know the provider. Default: follows --listen." placeholder:"URL" env:"DOORWARD_ISSUER"`
	Store  string `help:"Database file. Default: doorward.db." placeholder:"FILE" env:"DOORWARD_STORE"`

	Postgres     string   `help:"PostgreSQL database in place of a file, which replicas may share. Keep a DSN with a password in a file." placeholder:"DSN" env:"DOORWARD_STORE_POSTGRES"`
	PostgresFile string   `help:"File with the DSN." placeholder:"FILE" env:"DOORWARD_STORE_POSTGRES_FILE"`
	SecretFiles  []string `name:"secret-file" help:"File with the secret that wraps the keys; repeat for earlier ones. PostgreSQL needs one." placeholder:"FILE" env:"DOORWARD_SECRET_FILES"`
	AdminSocket  string   `help:"Where commands reach the server. Default: a socket beside the database file, else in XDG_RUNTIME_DIR or the working directory." placeholder:"PATH" env:"DOORWARD_ADMIN_SOCKET"`
}

// Serving are the flags of the command that serves.
type Serving struct {
	Listen    string `help:"Address to listen on; port 0 takes a free one. Default: localhost:8080." placeholder:"HOST:PORT" env:"DOORWARD_LISTEN"`
	Prefix    string `help:"Path of the endpoints under the issuer. Default: /oauth." placeholder:"PATH" env:"DOORWARD_PREFIX"`
	Name      string `help:"Name of the product on every page. Default: Doorward, or with a configuration file the issuer's host." placeholder:"NAME" env:"DOORWARD_NAME"`
	TLSCert   string `name:"tls-cert" help:"Certificate chain, PEM." placeholder:"FILE" env:"DOORWARD_TLS_CERT"`
	TLSKey    string `name:"tls-key" help:"Private key, PEM." placeholder:"FILE" env:"DOORWARD_TLS_KEY"`
	Demo      *bool  `help:"Demo user, client and application. Default: only on loopback and without a configuration file." negatable:"" env:"DOORWARD_DEMO"`
	LogLevel  string `help:"debug, info, warn or error. Default: info." placeholder:"LEVEL" env:"DOORWARD_LOG_LEVEL"`
	LogFormat string `help:"text or json. Default: text." placeholder:"FORMAT" env:"DOORWARD_LOG_FORMAT"`
}

const (
	defaultListen = "localhost:8080"
	// DefaultStore is the database in the working directory.
	DefaultStore = "doorward.db"
	// defaultScope is what a client with redirect URIs may ask for when its
	// entry does not say. RFC 7591 §2 (scope)
	defaultScope = "openid profile email offline_access"
)

// Load reads the file that the flags name, if any, and lays the flags over it. The
// error is *Problems; the Settings are then what could be read, for Check.
func Load(f Flags) (*Settings, error) {
	found := &Problems{File: f.Config}
	s := &Settings{at: places{}, Shutdown: 15 * time.Second}
	var file file
	if f.Config != "" {
		s.Paths = append(s.Paths, f.Config)
		file = readFile(f.Config, s.at, found)
	}
	s.take(file, f.Config, found)
	s.overlay(f, found)
	if f.Demo == nil && file.Features.Demo == nil {
		s.Demo = f.Config == "" && s.local() // a demo user is nobody's wish elsewhere
	}
	s.finish(found)
	if len(found.List) > 0 {
		found.sort()
		return s, found
	}
	return s, nil
}

// Merge adds to the problems of Load those that package server found in what could
// be read. What follows from a problem that is listed already is left out.
func Merge(loaded, explained error) error {
	var first, second *Problems
	if !errors.As(loaded, &first) {
		return explained
	}
	if !errors.As(explained, &second) {
		return loaded
	}
	all := &Problems{File: first.File, List: slices.Clone(first.List)}
	for _, p := range second.List {
		if !slices.ContainsFunc(first.List, func(q Problem) bool { return sameField(p.Field, q.Field) }) {
			all.List = append(all.List, p)
		}
	}
	all.sort()
	return all
}

// overlay lays what flags and environment say over the file.
func (s *Settings) overlay(f Flags, found *Problems) {
	for _, o := range []struct {
		flag  string
		value *string
	}{
		{f.Issuer, &s.Issuer}, {f.Listen, &s.Listen}, {f.Prefix, &s.Prefix}, {f.Name, &s.Name},
		{f.AdminSocket, &s.AdminSocket}, {f.TLSCert, &s.Cert}, {f.TLSKey, &s.Key},
	} {
		if o.flag != "" {
			*o.value = o.flag
		}
	}
	s.takeStore(storePlace{
		path: f.Store, dsn: f.Postgres, dsnFile: f.PostgresFile, secretFiles: f.SecretFiles,
		pathName: "--store", dsnName: "--postgres", dsnFileName: "--postgres-file", secretsName: "--secret-file",
	}, found)
	if f.Demo != nil {
		s.Demo = *f.Demo
	}
	if f.LogLevel != "" {
		s.logLevel("--log-level", f.LogLevel, found)
	}
	if f.LogFormat != "" {
		s.logFormat("--log-format", f.LogFormat, found)
	}
}

// finish fills in what follows from the rest.
func (s *Settings) finish(found *Problems) {
	s.checkStore(found)
	if s.Name == "" && len(s.Paths) == 0 {
		s.Name = "Doorward"
	}
	if (s.Cert == "") != (s.Key == "") {
		found.add(s.at.line("tls"), "tls", "one of cert and key without the other", "write both, or neither behind a proxy that ends TLS")
	}
	if s.Listen == "" {
		s.Listen = listenFor(s.Issuer)
	}
	s.checkListen(found)
	for _, name := range []struct{ scope, description string }{
		{"profile", "See your name"}, {"email", "See your email address"},
	} {
		if !hasScope(s.Scopes, name.scope) {
			s.Scopes = append(s.Scopes, server.Scope{Name: name.scope, Description: name.description})
		}
	}
	for i := range s.Clients {
		DefaultScope(&s.Clients[i])
	}
}

// local says that the issuer is this machine, or will be.
func (s *Settings) local() bool {
	u, err := url.Parse(s.Issuer)
	return err == nil && (s.Issuer == "" || Loopback(u.Hostname()))
}

// DefaultScope lets a client with redirect URIs and no scope ask for what a
// sign-in needs.
func DefaultScope(c *storage.Client) {
	if c.Scope == "" && len(c.RedirectURIs) > 0 {
		c.Scope = defaultScope
	}
}

func hasScope(scopes []server.Scope, name string) bool {
	for _, s := range scopes {
		if s.Name == name {
			return true
		}
	}
	return false
}

func (s *Settings) logLevel(field, value string, found *Problems) {
	if err := s.LogLevel.UnmarshalText([]byte(strings.ToUpper(value))); err != nil {
		found.add(s.at.line(field), field, quoted(value), "write debug, info, warn or error")
	}
}

func (s *Settings) logFormat(field, value string, found *Problems) {
	if value != "text" && value != "json" {
		found.add(s.at.line(field), field, quoted(value), "write text or json")
	}
	s.LogJSON = value == "json"
}
