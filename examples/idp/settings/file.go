package settings

import (
	"bytes"
	"errors"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/doorward/doorward/examples/idp/accounts"
	"github.com/doorward/doorward/server"
	"github.com/doorward/doorward/storage"
)

// file is the configuration file as it is written. Relative paths in it start at
// the folder it stands in.
type file struct {
	Issuer string `json:"issuer"`
	Listen string `json:"listen"`
	Prefix string `json:"prefix"`
	Name   string `json:"name"`
	Pages  string `json:"pages"` // folder
	Theme  theme  `json:"theme"`
	TLS    struct {
		Cert string `json:"cert"`
		Key  string `json:"key"`
	} `json:"tls"`
	Store struct {
		Path         string   `json:"path"`
		Postgres     string   `json:"postgres"`
		PostgresFile string   `json:"postgres_file"`
		SecretFiles  []string `json:"secret_files"`
	} `json:"store"`
	AdminSocket string `json:"admin_socket"`

	Clients   outside    `json:"clients"`
	Users     outside    `json:"users"`
	Scopes    []scope    `json:"scopes"`
	Audience  string     `json:"default_audience"`
	Resources []resource `json:"resources"`
	Lifetimes struct {
		Code            duration `json:"code"`
		AccessToken     duration `json:"access_token"`
		JWTAccessToken  duration `json:"jwt_access_token"`
		IDToken         duration `json:"id_token"`
		RefreshIdle     duration `json:"refresh_idle"`
		RefreshAbsolute duration `json:"refresh_absolute"`
		PushedRequest   duration `json:"pushed_request"`
		DeviceCode      duration `json:"device_code"`
		Interaction     duration `json:"interaction"`
		Consent         duration `json:"consent"`
		SessionIdle     duration `json:"session_idle"`
		SessionAbsolute duration `json:"session_absolute"`
	} `json:"lifetimes"`
	Refresh struct {
		Policy string   `json:"policy"`
		Window duration `json:"window"`
	} `json:"refresh"`
	RequirePushed bool         `json:"require_pushed_authorization_requests"`
	RequireSigned bool         `json:"require_signed_request_object"`
	FAPI2         bool         `json:"fapi2"`
	MCP           []string     `json:"mcp"`
	Registration  registration `json:"registration"`
	MutualTLS     struct {
		Accept bool   `json:"accept"`
		Roots  string `json:"roots"`
		Header string `json:"header"`
		Format string `json:"format"`
		Alias  string `json:"alias"`
	} `json:"mutual_tls"`
	DPoP struct {
		Required bool `json:"required"`
		Nonces   bool `json:"nonces"`
	} `json:"dpop"`
	Keys struct {
		Algorithms   []string `json:"algorithms"`
		Rotation     duration `json:"rotation"`
		DataRotation duration `json:"data_rotation"`
		CacheTime    duration `json:"cache_time"`
	} `json:"keys"`
	Limits struct {
		Logins int `json:"logins"`
		Begun  int `json:"begun"`
		Grants int `json:"grants"`
	} `json:"limits"`
	Features struct {
		Demo   *bool `json:"demo"`
		Device *bool `json:"device"`
	} `json:"features"`
	Proxies []prefix `json:"proxies"`
	Log     struct {
		Level  string `json:"level"`
		Format string `json:"format"`
	} `json:"log"`
	Shutdown duration `json:"shutdown"`
	Insecure struct {
		AcceptClock bool     `json:"accept_clock"`
		FetchHosts  []string `json:"fetch_hosts"`
	} `json:"insecure"`
}

// resource is an API as it is written.
type resource struct {
	ID       string   `json:"id"`
	Format   string   `json:"access_token_format"`
	Lifetime duration `json:"access_token_lifetime"`
}

// readFile reads the configuration file and notes all that is wrong with its form.
func readFile(path string, at places, found *Problems) file {
	var f file
	if root := document(path, found); root != nil {
		r := reader{at: at, found: found}
		r.read("", root, reflect.ValueOf(&f))
	}
	return f
}

// maxFile bounds what is read: a wrong path must not fill the memory.
const maxFile = 8 << 20

// document parses a YAML or JSON file; nil for an empty one or when it can't be.
func document(path string, found *Problems) *yaml.Node {
	body, err := readBounded(path)
	if err != nil {
		found.addError(0, "configuration file", err, "write the path of a file that can be read")
		return nil
	}
	decoder := yaml.NewDecoder(bytes.NewReader(body))
	var doc, second yaml.Node
	switch err := decoder.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		line, text := syntax(err)
		found.add(line, "YAML", "", text+"; correct it there; values with : or # need quotes")
		return nil
	}
	if decoder.Decode(&second) == nil {
		found.add(second.Line, path, "a second document (---)", "leave one in the file")
	}
	return doc.Content[0]
}

func readBounded(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	body, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(body) > maxFile {
		err = errors.New(path + " is larger than 8 MiB")
	}
	return body, err
}

var syntaxLine = regexp.MustCompile(`line (\d+): `)

func syntax(err error) (line int, text string) {
	text = strings.TrimPrefix(err.Error(), "yaml: ")
	if m := syntaxLine.FindStringSubmatch(text); m != nil {
		line, _ = strconv.Atoi(m[1])
		text = strings.Replace(text, m[0], "", 1)
	}
	return line, text
}

// take checks what the file says and puts it into the settings.
func (s *Settings) take(f file, path string, found *Problems) {
	beside := func(name string) string {
		if name == "" || filepath.IsAbs(name) {
			return name
		}
		return filepath.Join(filepath.Dir(path), name)
	}
	s.Issuer, s.Listen, s.Prefix, s.Name, s.Audience = f.Issuer, f.Listen, f.Prefix, f.Name, f.Audience
	s.Cert, s.Key, s.Overlay, s.AdminSocket = beside(f.TLS.Cert), beside(f.TLS.Key), beside(f.Pages), beside(f.AdminSocket)
	s.takeTheme(f.Theme, beside(f.Theme.Logo), found)
	p := storePlace{
		path: beside(f.Store.Path), dsn: f.Store.Postgres, dsnFile: beside(f.Store.PostgresFile),
		pathName: "store.path", dsnName: "store.postgres", dsnFileName: "store.postgres_file", secretsName: "store.secret_files",
	}
	for _, name := range f.Store.SecretFiles {
		p.secretFiles = append(p.secretFiles, beside(name))
	}
	s.takeStore(p, found)
	for _, one := range f.Scopes {
		s.Scopes = append(s.Scopes, server.Scope(one))
	}
	for _, one := range f.Resources {
		s.Resources = append(s.Resources, server.Resource{
			ID: one.ID, AccessTokenFormat: storage.AccessTokenFormat(one.Format), AccessTokenLifetime: time.Duration(one.Lifetime),
		})
	}
	l := f.Lifetimes
	s.Lifetimes = server.Lifetimes{
		Code: time.Duration(l.Code), AccessToken: time.Duration(l.AccessToken), JWTAccessToken: time.Duration(l.JWTAccessToken), IDToken: time.Duration(l.IDToken),
		RefreshIdle: time.Duration(l.RefreshIdle), RefreshAbsolute: time.Duration(l.RefreshAbsolute), DeviceCode: time.Duration(l.DeviceCode),
		PushedRequest: time.Duration(l.PushedRequest), Interaction: time.Duration(l.Interaction), Consent: time.Duration(l.Consent),
		SessionIdle: time.Duration(l.SessionIdle), SessionAbsolute: time.Duration(l.SessionAbsolute),
	}
	s.Refresh = server.Refresh{Policy: storage.RefreshPolicy(f.Refresh.Policy), Window: time.Duration(f.Refresh.Window)}
	s.Keys = server.Keys{Algorithms: f.Keys.Algorithms, Rotation: time.Duration(f.Keys.Rotation), DataRotation: time.Duration(f.Keys.DataRotation), CacheTime: time.Duration(f.Keys.CacheTime)}
	s.Limits.Begun, s.Limits.Grants = f.Limits.Begun, f.Limits.Grants
	s.Limits.Logins, s.RequirePushed, s.RequireSigned, s.FAPI2, s.MCP = f.Limits.Logins, f.RequirePushed, f.RequireSigned, f.FAPI2, f.MCP
	s.DPoP = server.DPoP{Required: f.DPoP.Required, Nonces: f.DPoP.Nonces}
	s.takeRegistration(f.Registration, beside, found)
	s.takeMutualTLS(f, beside(f.MutualTLS.Roots), found)
	s.Insecure = server.Insecure{AcceptClock: f.Insecure.AcceptClock, FetchHosts: f.Insecure.FetchHosts}
	if f.Features.Demo != nil {
		s.Demo = *f.Features.Demo
	}
	s.DeviceGrant = path == "" // without a file everything is there to be tried
	if f.Features.Device != nil {
		s.DeviceGrant = *f.Features.Device
	}
	for _, p := range f.Proxies {
		s.Proxies = append(s.Proxies, netip.Prefix(p))
	}
	if f.Log.Level != "" {
		s.logLevel("log.level", f.Log.Level, found)
	}
	if f.Log.Format != "" {
		s.logFormat("log.format", f.Log.Format, found)
	}
	if f.Shutdown > 0 {
		s.Shutdown = time.Duration(f.Shutdown)
	}
	for _, list := range []struct {
		name string
		from outside
		take func(*reader, string, *yaml.Node)
	}{
		{"clients", f.Clients, func(r *reader, at string, n *yaml.Node) { s.takeClient(r, at, n, beside) }},
		{"users", f.Users, func(r *reader, at string, n *yaml.Node) { s.takeUser(r, at, n, beside) }},
	} {
		s.entries(list.name, list.from, beside, found, list.take)
	}
}

// outside is a list that stands in the file or in another one.
type outside struct{ node *yaml.Node }

func (o *outside) read(node *yaml.Node) error {
	o.node = node
	if node.Kind != yaml.SequenceNode && node.Kind != yaml.ScalarNode {
		return wrong(shown(node), "write a list, or the path of a file that holds it")
	}
	return nil
}

// entries calls take for each entry of a list, wherever it stands.
func (s *Settings) entries(name string, from outside, beside func(string) string, found *Problems, take func(*reader, string, *yaml.Node)) {
	node, problems, at := from.node, found, s.at
	if node == nil {
		return
	}
	if node.Kind == yaml.ScalarNode {
		path := beside(node.Value)
		s.Paths = append(s.Paths, path)
		problems, at = &Problems{}, places{} // the lines are those of another file
		if node = list(document(path, problems), name); node == nil {
			problems.add(0, name, "no list in "+path, "write a list of entries there")
		}
		defer func() {
			for _, p := range problems.List {
				field := p.Field
				if p.Line > 0 {
					field = path + ":" + strconv.Itoa(p.Line) + ": " + p.Field
				}
				found.add(0, field, p.Found, p.Want)
			}
		}()
	}
	if node == nil || node.Kind != yaml.SequenceNode {
		return
	}
	for i, entry := range node.Content {
		take(&reader{at: at, found: problems}, index(name, i), entry)
	}
}

// list finds the list in a file of its own: the file is the list, or one entry, or
// holds the list under its name.
func list(root *yaml.Node, name string) *yaml.Node {
	if root == nil || root.Kind == yaml.SequenceNode {
		return root
	}
	if root.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(root.Content); i += 2 {
		if root.Content[i].Value == name {
			return list(root.Content[i+1], name)
		}
	}
	return &yaml.Node{Kind: yaml.SequenceNode, Content: []*yaml.Node{root}, Line: root.Line}
}

// userEntry is a user as it is written.
type userEntry struct {
	accounts.User
	Password     string `json:"password"`
	PasswordFile string `json:"password_file"`
	PasswordHash string `json:"password_hash"`
}

func (s *Settings) takeUser(r *reader, at string, node *yaml.Node, beside func(string) string) {
	var e userEntry
	before := len(r.found.List)
	r.read(at, node, reflect.ValueOf(&e))
	if len(r.found.List) > before {
		return
	}
	d := accounts.Declared{User: e.User, Password: storage.Secret(e.Password), PasswordHash: e.PasswordHash}
	if e.PasswordFile != "" {
		body, err := readBounded(beside(e.PasswordFile))
		if err != nil {
			r.found.addError(r.at.line(at+".password_file"), at+".password_file", err, "write the path of a file that can be read")
			return
		}
		if advice := openToOthers(beside(e.PasswordFile)); advice != "" {
			r.add(r.at.line(at+".password_file"), at+".password_file", foundOpen, advice)
			return
		}
		d.Password = storage.Secret(strings.TrimRight(string(body), "\r\n"))
	}
	for _, err := range flatten(d.Check()) {
		field, rest, _ := strings.Cut(strings.TrimPrefix(err.Error(), accounts.ErrInvalid.Error()+": "), ": ")
		value, want, _ := strings.Cut(strings.TrimPrefix(rest, "found "), "; ")
		r.add(r.at.line(at+"."+field), at+"."+field, value, want)
	}
	s.Users = append(s.Users, d)
}

func index(field string, i int) string { return field + "[" + strconv.Itoa(i) + "]" }
